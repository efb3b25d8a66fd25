"""What engines call: the metered model call."""
