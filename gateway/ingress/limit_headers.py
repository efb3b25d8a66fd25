"""`x-ratelimit-*` headers as in OpenAI's API: what is left of the tightest limit of requests and tokens.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from quotas.limits import Limit, Metric

METRICS = (Metric.REQUESTS, Metric.TOKENS)


def limit_headers(limits: Iterable[Limit]) -> dict[str, str]:
    """Of each metric the limit with the least left; none for a metric that nothing limits."""
    limits = list(limits)
    headers: dict[str, str] = {}
    for metric in METRICS:
        tightest = min(
            (limit for limit in limits if limit.metric == metric),
            key=lambda limit: limit.remaining,
            default=None,
        )
        if tightest is not None:
            headers |= _headers(metric, tightest.most, tightest.remaining, tightest.resets_at)
    return headers


def refusal_headers(details: dict[str, Any]) -> dict[str, str]:
    """The same from a refusal's details: of the limit that bit."""
    if details.get("metric") not in METRICS or "remaining" not in details:
        return {}
    resets_at = details["resets_at"]
    moment = datetime.fromisoformat(resets_at) if resets_at else None
    return _headers(details["metric"], details["limit"], details["remaining"], moment)


def _headers(metric: str, most: int, remaining: int, resets_at: datetime | None) -> dict[str, str]:
    headers = {
        f"x-ratelimit-limit-{metric}": str(most),
        f"x-ratelimit-remaining-{metric}": str(remaining),
    }
    if resets_at is not None:
        headers[f"x-ratelimit-reset-{metric}"] = duration_text(resets_at)
    return headers


def duration_text(until: datetime) -> str:
    """From now until then, as `1h2m3s`; never less than nothing, a second that has begun counts."""
    seconds = max(0, -int((timezone.now() - until.astimezone(UTC)).total_seconds() // 1))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
