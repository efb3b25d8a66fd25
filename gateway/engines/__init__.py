"""What runs a turn."""
