"""What answers a model call."""
