"""Speed and memory beside the peers': ``python -m benchmarks``; see docs/performance.md."""
