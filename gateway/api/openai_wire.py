"""Our errors and counts in OpenAI's wire format, so that its clients act on them as on OpenAI's own.

Protocol: https://platform.openai.com/docs/guides/error-codes
"""

from typing import Any

from gateway.errors import (
    ContextTooLong,
    ModelLacksAbility,
    ModelNotEnabled,
    ModelNotFound,
    ProviderError,
    ProviderPaused,
    ProviderTimeout,
)
from gateway.providers.openai_chunks import usage_of
from kit.errors import DomainError, InvalidInput
from quotas.errors import QuotaExceeded
from quotas.prices import MILLION, Usage

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
CODES: dict[type[DomainError], str] = {
    ContextTooLong: "context_length_exceeded",
    ModelNotEnabled: "model_not_found",
    QuotaExceeded: "insufficient_quota",
}
REFUSALS = {400, 413, 422}  # of a provider, for what the client sent
SERVER_KEY = {401, 403}  # the provider rejects the workspace's key, which is not the client's fault
PASSED_ON = {402, 404, 429, 503}
OVERLOADED = 529  # Anthropic's


def wire_status(error: DomainError) -> int:
    """The status on which OpenAI's clients act."""
    if isinstance(error, ProviderError):
        return _status_of_provider(error)
    if isinstance(error, ModelNotEnabled):
        return 404
    if isinstance(error, InvalidInput | ModelLacksAbility):
        return 400
    return error.status


def _status_of_provider(error: ProviderError) -> int:
    status = error.details.get("provider_status")
    if isinstance(error, ProviderPaused | ProviderTimeout) or status is None:
        return error.status
    if status in REFUSALS:
        return 400
    if status == OVERLOADED:
        return 503
    return status if status in PASSED_ON else error.status


def error_body(error: DomainError, request_id: str) -> dict[str, Any]:
    """Our error format with the `code`, `type` and `param` that OpenAI's clients expect."""
    ours = error.as_dict(request_id)
    return {
        "error": {**ours, "code": error_code(error), "type": error_type(error), "param": error_param(error)}
    }


def error_code(error: DomainError) -> str:
    if isinstance(error, ProviderError):
        by_status = {429: "rate_limit_exceeded", 404: "model_not_found"}
        return str(error.details.get("provider_code") or by_status.get(wire_status(error), error.code))
    return CODES.get(type(error), error.code)


def error_param(error: DomainError) -> str | None:
    """The path of the field that is wrong, such as `messages[3].content`."""
    if isinstance(error, ModelLacksAbility):
        return "tools" if error.details.get("ability") == "tools" else "messages"
    if isinstance(error, ContextTooLong):
        return "messages"
    if isinstance(error, ModelNotEnabled | ModelNotFound):
        return "model"
    if isinstance(error, ProviderError):
        return error.details.get("provider_param") or None
    return next(iter(error.details), None) if isinstance(error, InvalidInput) else None


def error_type(error: DomainError) -> str:
    if isinstance(error, QuotaExceeded):
        return "insufficient_quota"
    if isinstance(error, ModelNotEnabled):
        return "invalid_request_error"  # as OpenAI answers for an unknown model, in spite of the 404
    status = wire_status(error)
    return TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def completion_usage(usage: Usage) -> dict[str, Any]:
    """Token counts in OpenAI's format, and the cost in the price list's currency if the model has a price."""
    counts: dict[str, Any] = {
        **usage_of(usage.input_tokens, usage.output_tokens),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    return counts if usage.cost is None else {**counts, "cost": usage.cost / MILLION}
