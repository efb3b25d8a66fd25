"""Limits on CPU time in seconds of a reference machine, so that no test fails because its machine is slow.

`with cpu_at_most(2): …` measures the speed of Python here and now, and allows a slower machine more.
"""

import json
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

REFERENCE_SECONDS = 0.035  # of CPU for the reference work, on the machine that limits are written for
ROWS = 12_000


def cpu_with_children() -> float:
    """CPU seconds of this process and of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def slowness() -> float:
    """How many times slower Python is here and now than on the reference machine; at least 1."""
    begun = time.thread_time()
    rows = [{"number": number, "text": f"word{number} " * 5} for number in range(ROWS)]
    words = sum(len(re.findall(r"\w+", row["text"])) for row in json.loads(json.dumps(rows)))
    spent = time.thread_time() - begun
    assert words == ROWS * 5
    return max(1.0, spent / REFERENCE_SECONDS)


@cache
def usual_slowness() -> float:
    return slowness()


def allowed(seconds: float, spent: float) -> float:
    """`seconds` on this machine; it is measured again if `spent` is more than was allowed before."""
    limit = seconds * usual_slowness()
    return limit if spent <= limit else max(limit, seconds * slowness())


@contextmanager
def cpu_at_most(seconds: float, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Fails if the block takes more than `seconds` of the reference machine's CPU, by `clock`."""
    begun = clock()
    yield
    spent = clock() - begun
    limit = allowed(seconds, spent)
    assert spent <= limit, f"{spent:.2f} s of CPU, and {limit:.2f} s are allowed on this machine"
