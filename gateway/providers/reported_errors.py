"""Errors that a provider reports inside an answer whose status is 200, in their many forms."""

import re
from typing import Any

from gateway.errors import ProviderError
from gateway.providers.base import JsonObject
from gateway.providers.garbled import a_text, an_object
from gateway.providers.refusals import (
    GATEWAY_TIMEOUTS,
    context_too_long,
    is_about_context,
    is_transient,
    words_of,
)
from kit.errors import DomainError

# By a word in the error's type, code or status: OpenAI, Anthropic, Google, vLLM, OpenRouter.
STATUSES = {
    "rate_limit": 429,
    "ratelimit": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "quota": 429,
    "overloaded": 503,
    "unavailable": 503,
    "capacity": 503,
    "billing": 402,
    "insufficient_credit": 402,
    "authentication": 401,
    "unauthorized": 401,
    "invalid_api_key": 401,
    "permission": 403,
    "not_found": 404,
    "too_large": 413,
    "invalid_request": 400,
    "invalid_argument": 400,
    "bad_request": 400,
    "badrequest": 400,
    "validation": 400,
    "context_length": 400,
    "timeout": 504,
    "deadline_exceeded": 504,
    "server_error": 500,
    "servererror": 500,
    "api_error": 500,
    "internal": 500,
}


def error_in(data: JsonObject, *, event: str = "") -> Any:
    """The error that a frame reports, or None."""
    if data.get("error"):
        return data["error"]
    base = an_object(data.get("base_resp"))  # MiniMax's
    if base.get("status_code"):
        return {"code": base["status_code"], "message": base.get("status_msg")}
    is_error = "error" in (data.get("object"), data.get("type"), event)
    has_answer = data.get("choices") or data.get("content") or data.get("usage")
    has_words = any(data.get(name) for name in ("message", "msg", "detail", "error_msg", "errors"))
    if is_error or (has_words and not has_answer and not isinstance(data.get("message"), dict)):
        return data
    return None


def reported_error(error: Any, *, provider: str, has_begun: bool) -> DomainError:
    """Before a reply has begun, the provider has done no work and bills nothing.

    ContextTooLong for an error about the context window.
    """
    status, words = status_of(error), words_of(error)
    if not has_begun and is_about_context(" ".join(words.values())):
        return context_too_long(words)
    return ProviderError(
        _text(error),
        provider=provider,
        provider_status=status,
        did_no_work=not has_begun and status not in GATEWAY_TIMEOUTS,
        transient=is_transient(status),
        words=words,
    )


def status_of(error: Any) -> int:
    """The HTTP status that the error names or that its type has; 200 if neither is known."""
    found = an_object(error[0] if isinstance(error, list) and error else error)
    for name in ("code", "status", "status_code", "http_code", "statusCode"):
        status = found.get(name)
        if isinstance(status, str) and status.isdigit():
            status = int(status)
        if type(status) is int and 400 <= status < 600:
            return status
    words = " ".join(a_text(found.get(name)) for name in ("type", "code", "status", "error")).lower()
    words = re.sub(r"[\s-]", "_", words)
    return next((status for word, status in STATUSES.items() if word in words), 200)


def _text(error: Any) -> str | None:
    said = words_of(error).get("provider_message")
    return f"The provider reports an error: {said}" if said else None
