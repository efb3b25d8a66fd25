"""Why a supervisor ends: somebody asked for it, or something failed."""


class StopRequested(Exception):
    """Ctrl-C, a signal, or the end of the parent."""


class Failure(Exception):
    """Something that the person at the terminal is told, and that ends the run with exit code 1."""
