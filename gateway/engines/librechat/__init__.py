"""The engine that drives an unmodified LibreChat."""
