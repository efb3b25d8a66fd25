"""The file descriptors that a server process needs for its connections, and the system's limit on them."""

import resource
from contextlib import suppress

from django.conf import settings

from kit.outbound import CONNECTIONS

OF_A_TURN = 3  # its client's connection, its provider's and its journal
BESIDE = 512  # pages, the database, Redis, files, and lookups of names
ENOUGH = 65_536  # more is not asked for, even where the system would grant it


def needed() -> int:
    """What this process opens at most while it runs as many turns as it may."""
    return OF_A_TURN * settings.MAX_RUNNING_TURNS + CONNECTIONS + BESIDE


def granted() -> int:
    """The limit that the system lets a process raise its own to."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return max(ENOUGH, needed()) if hard == resource.RLIM_INFINITY else hard


def raise_limit() -> None:
    """Takes what is granted, up to ENOUGH: a server often starts with 1,024, which its turns alone exceed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(granted(), max(ENOUGH, needed()))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS grants less than its hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
