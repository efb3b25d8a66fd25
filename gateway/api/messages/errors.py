"""Our errors in Anthropic's format, so that its clients act on them as on Anthropic's own.

Protocol: https://docs.anthropic.com/en/api/errors. Its clients retry 408, 409, 429 and 5xx, unless
`x-should-retry` is false.
"""

from gateway.errors import (
    ContextTooLong,
    ModelLacksAbility,
    ModelNotEnabled,
    ProviderError,
    ProviderPaused,
    ProviderTimeout,
)
from gateway.providers.base import JsonObject
from kit.errors import (
    AtCapacity,
    Conflict,
    DatabaseUnavailable,
    DomainError,
    InvalidInput,
    ShuttingDown,
    TurnInterrupted,
)
from quotas.errors import QuotaExceeded

TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
TEMPORARY = (AtCapacity, DatabaseUnavailable, ProviderPaused, ShuttingDown, TurnInterrupted)
OF_THE_PROVIDER = {402: 402, 404: 404, 413: 413, 400: 400, 422: 400, 429: 429, 503: 529, 529: 529}
SERVER_KEY = {401, 403}  # the provider rejects the workspace's key: a retry does not help

# The first that fits. A spent budget is 402, which no client retries: a 429 makes coding agents wait
# and try again for minutes, although the budget may be spent until next month.
STATUSES: tuple[tuple[type[DomainError], int], ...] = (
    (QuotaExceeded, 402),
    *((kind, 529) for kind in TEMPORARY),
    (ProviderTimeout, 504),
    (ModelNotEnabled, 404),
    (ModelLacksAbility, 400),
    (InvalidInput, 400),
)


def wire_status(error: DomainError) -> int:
    """The status on which Anthropic's clients act."""
    if status := next((status for kind, status in STATUSES if isinstance(error, kind)), None):
        return status
    if isinstance(error, ProviderError):
        return OF_THE_PROVIDER.get(error.details.get("provider_status") or 0, 500)
    return error.status if error.status < 500 else 500


def error_type(status: int) -> str:
    return TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def error_body(error: DomainError, request_id: str) -> JsonObject:
    """Anthropic's shape; `code` and `details` are those of our own error format."""
    kind = error_type(wire_status(error))
    fields = {**error.as_dict(request_id), "type": kind, "message": message_of(error)}
    return {"type": "error", "error": fields, "request_id": request_id}


def message_of(error: DomainError) -> str:
    """Anthropic's text for a prompt that is too long: agents parse it, and shorten the prompt."""
    if not isinstance(error, ContextTooLong):
        return error.text
    window, prompt, output = (
        error.details.get(name) for name in ("context_window", "prompt_tokens", "output_tokens")
    )
    if window is None or prompt is None:
        return f"prompt is too long: {error.text}"
    if output is not None and prompt < window:
        return (
            f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {window}, "
            "decrease input length or `max_tokens` and try again"
        )
    return f"prompt is too long: {prompt} tokens > {window} maximum"


def is_final(error: DomainError) -> bool:
    """Whether the same request cannot succeed soon, although its status is one that clients retry."""
    if isinstance(error, ProviderError):
        return error.details.get("provider_status") in SERVER_KEY
    return isinstance(error, QuotaExceeded | Conflict)
