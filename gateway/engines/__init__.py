"""Engines: each runs turns."""
