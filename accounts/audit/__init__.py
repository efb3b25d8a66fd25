"""The audit: written, counted, read."""
