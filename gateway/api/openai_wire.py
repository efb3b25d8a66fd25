"""Our errors in OpenAI's wire format, so that its clients work unchanged.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

from typing import Any

from gateway.errors import ModelNotFound
from kit.errors import DomainError, InvalidInput
from quotas.errors import QuotaExceeded


def error_body(error: DomainError, request_id: str) -> dict[str, Any]:
    """Our error format with the `type` and `param` that OpenAI's clients expect."""
    names_field = isinstance(error, InvalidInput | ModelNotFound)
    param = next(iter(error.details), None) if names_field else None
    return {"error": {**error.as_dict(request_id), "type": error_type(error), "param": param}}


def error_type(error: DomainError) -> str:
    if isinstance(error, QuotaExceeded):
        return "insufficient_quota"
    by_status = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        409: "conflict_error",
        429: "rate_limit_error",
    }
    return by_status.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
