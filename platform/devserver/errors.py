"""Reasons why the supervisor ends."""


class StopRequested(Exception):
    """Ctrl-C, a signal, or the parent has ended."""


class Failure(Exception):
    """Ends the run with exit code 1; the message is shown in the terminal."""
