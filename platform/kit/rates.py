"""Counts what somebody does in each minute of the clock, in the shared cache, and refuses what goes beyond.

A counter costs no write to the database. Around the turn of a minute twice the limit may pass. While the
shared cache is away, each process counts by itself.
"""

import time
from datetime import UTC, datetime

from django.core.cache import cache

from kit.errors import RateLimited

SECONDS = 60
KEPT_SECONDS = 2 * SECONDS


def spend(subject: str, most: int) -> None:
    """One more of what `subject` may do `most` times a minute; RateLimited beyond."""
    minute = int(time.time() // SECONDS)
    used = _counted(f"rate:{subject}:{minute}")
    if used > most:
        resets_at = (minute + 1) * SECONDS
        raise RateLimited(
            f"Rate limit reached: {most:,} requests per minute. Try again shortly.",
            level="caller",
            metric="requests",
            window="minute",
            limit=most,
            used=used,
            remaining=0,
            resets_at=datetime.fromtimestamp(resets_at, UTC).isoformat(),
            retry_after=max(1, round(resets_at - time.time())),
        )


def _counted(slot: str) -> int:
    """How many it makes with this one; 0 where nobody can tell."""
    try:
        return int(cache.incr(slot))
    except ValueError:  # the first in this minute, unless another is faster
        if cache.add(slot, 1, timeout=KEPT_SECONDS):
            return 1
    try:
        return int(cache.incr(slot))
    except ValueError:
        return 0
