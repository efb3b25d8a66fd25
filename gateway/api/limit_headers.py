"""`x-ratelimit-*` headers of a turn: the remainder of the tightest limits of requests and tokens."""

from collections.abc import Iterable

from kit.rate_headers import rate_headers
from quotas.limits import Limit, Metric

METRICS = (Metric.REQUESTS, Metric.TOKENS)


def limit_headers(limits: Iterable[Limit]) -> dict[str, str]:
    """For each metric the limit with the least left; no header for a metric without a limit."""
    limits = list(limits)
    headers: dict[str, str] = {}
    for metric in METRICS:
        tightest = min(
            (limit for limit in limits if limit.metric == metric),
            key=lambda limit: limit.remaining,
            default=None,
        )
        if tightest is not None:
            headers |= rate_headers(metric, tightest.most, tightest.remaining, tightest.resets_at)
    return headers
