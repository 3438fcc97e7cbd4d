"""What the process tells of itself: log lines, metrics, health."""
