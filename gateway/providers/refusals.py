"""Translates a provider's refusal, without its own text, which may contain the key."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gateway.errors import ContextTooLong, ProviderError
from kit.errors import DomainError

# OpenAI, llama.cpp, vLLM and DeepSeek, Anthropic (twice), xAI, Gemini, in this order.
CONTEXT = re.compile(
    rb"context_length_exceeded|exceed_context_size|maximum context length|prompt is too long|context limit"
    rb"|maximum prompt length|input token count|context window",
    re.IGNORECASE,
)
# A gateway in front of the model gave up waiting; the model behind it may have worked, and may still.
GATEWAY_TIMEOUTS = {408, 504, 524}
OVERLOADED = 429


def refusal(
    *, provider: str, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> DomainError:
    """The error for a status other than 200; a 400 about the context window is ContextTooLong."""
    if status == 400 and CONTEXT.search(body):
        return ContextTooLong()
    return ProviderError(
        _text_for(status, body),
        provider=provider,
        provider_status=status,
        did_no_work=status not in GATEWAY_TIMEOUTS,
        transient=is_transient(status)
        and b"insufficient_quota" not in body,  # OpenAI's 429 for an unpaid bill
        retry_after=retry_after_seconds((headers or {}).get("retry-after"), now=datetime.now(UTC)),
    )


def _text_for(status: int, body: bytes) -> str | None:
    """What went wrong, by the status; None for the general text."""
    if b"insufficient_quota" in body:
        return "The provider refused the request: its account has no credit left."
    if status in (401, 403):
        return "The provider rejected the API key."
    if is_transient(status):
        return "The provider is overloaded or unavailable. Try again shortly."
    if 400 <= status < 500 and status not in GATEWAY_TIMEOUTS:
        return "The provider refused the request."
    return None


def is_transient(status: int) -> bool:
    """Whether the same request may succeed a little later; 529 is Anthropic's `overloaded`."""
    return status == OVERLOADED or status >= 500


def is_outage(error: ProviderError) -> bool:
    """Whether the provider is down rather than busy: no connection, no answer in time, or a 5xx."""
    return error.transient and error.details["provider_status"] != OVERLOADED


def retry_after_seconds(retry_after: str | None, *, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3: seconds or an HTTP date) in seconds; None if it has neither."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until(retry_after, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
