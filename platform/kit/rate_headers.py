"""`x-ratelimit-*` headers as in OpenAI's API.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
"""

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

METRICS = ("requests", "tokens")


def refusal_headers(details: dict[str, Any]) -> dict[str, str]:
    """Headers for the limit in an error's details; empty unless it limits requests or tokens."""
    if details.get("metric") not in METRICS or "remaining" not in details:
        return {}
    resets_at = details["resets_at"]
    moment = datetime.fromisoformat(resets_at) if resets_at else None
    return rate_headers(details["metric"], details["limit"], details["remaining"], moment)


def rate_headers(metric: str, most: int, remaining: int, resets_at: datetime | None) -> dict[str, str]:
    headers = {
        f"x-ratelimit-limit-{metric}": str(most),
        f"x-ratelimit-remaining-{metric}": str(remaining),
    }
    if resets_at is not None:
        headers[f"x-ratelimit-reset-{metric}"] = duration_text(resets_at)
    return headers


def duration_text(until: datetime) -> str:
    """The time from now until then, such as `1h2m3s`: at least 0s, seconds rounded up."""
    seconds = max(0, -int((timezone.now() - until.astimezone(UTC)).total_seconds() // 1))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
