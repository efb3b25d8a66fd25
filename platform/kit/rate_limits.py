"""Counts a subject's actions per clock minute, in the shared cache, and refuses those beyond a limit.

Counting writes nothing to the database. Around the change of a minute, twice the limit may pass. Without the
shared cache, each process counts separately.
"""

import time
from datetime import UTC, datetime

from django.core.cache import cache

from kit.errors import RateLimited

SECONDS = 60
COUNTER_SECONDS = 2 * SECONDS


def spend(subject: str, most: int) -> None:
    """Counts one action of `subject`; raises RateLimited beyond `most` per minute."""
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
    """The count including this one; 0 if it is unknown."""
    try:
        return int(cache.incr(slot))
    except ValueError:  # the first in this minute, unless another process was faster
        if cache.add(slot, 1, timeout=COUNTER_SECONDS):
            return 1
    try:
        return int(cache.incr(slot))
    except ValueError:
        return 0
