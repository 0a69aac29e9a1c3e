"""What zmesh tells of itself: logs, metrics, traces."""
