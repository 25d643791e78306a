"""The training loop, its update rules and schedules, and what a run leaves behind."""
