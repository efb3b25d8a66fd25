"""Ports for servers under test."""

import random
import socket
from itertools import count

FIRST, LAST = 15_000, 32_000  # below the ports that systems give to outgoing connections

_numbers = count(random.randrange(LAST - FIRST))


def free_port() -> int:
    """Never the same twice; no other connection takes it before its server starts."""
    while True:
        port = FIRST + next(_numbers) % (LAST - FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
