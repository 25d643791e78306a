"""Run directories: what a run or a sweep leaves behind, and how it goes on after an interruption."""
