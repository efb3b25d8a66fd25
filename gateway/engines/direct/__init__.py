"""The engine that runs turns in our own processes."""
