"""The file descriptors that a server process needs, and the system's limit on them."""

import resource
from contextlib import suppress

from django.conf import settings

from kit.outbound import CONNECTIONS

PER_TURN = 3  # the connections to its client and its provider, and its journal
OTHER = 512  # pages, the database, Redis, files, name lookups
ENOUGH = 65_536  # never requests more, even if the system would grant it


def needed() -> int:
    """How many this process opens at most, with the maximum number of running turns."""
    return PER_TURN * settings.MAX_RUNNING_TURNS + CONNECTIONS + OTHER


def granted() -> int:
    """The highest limit that the process may set for itself."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return max(ENOUGH, needed()) if hard == resource.RLIM_INFINITY else hard


def raise_limit() -> None:
    """Raises the limit, up to ENOUGH: servers often start with 1,024, too few for their turns."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(granted(), max(ENOUGH, needed()))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS grants less than its hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
