"""What the process reports: logs, metrics, health."""
