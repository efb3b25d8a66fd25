"""The process manager of `make run`; imports neither settings nor apps."""
