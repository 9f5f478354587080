"""What trains any method: runs, steps, schedules, precision, processes and checkpoints."""
