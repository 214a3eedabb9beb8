"""What operators see of the running service: logs, metrics and traces, none of which knows a student."""
