"""Errors about turns, engines and providers."""

from collections.abc import Mapping
from typing import Any

from kit.errors import Conflict, DomainError, Forbidden, InvalidInput, NotFound


class ContextTooLong(InvalidInput):
    """LangChain, LiteLLM and Anthropic's clients recognise it by the words "prompt is too long"."""

    code, status = "context_too_long", 422
    message = "The prompt is too long for this model."


class UnsupportedParameter(InvalidInput):
    """A parameter that is not passed on. Details: the parameter's name, with what to do instead."""

    code, status, message = "unsupported_parameter", 422, "This parameter is not supported."

    def __init__(self, name: str, problem: str, /) -> None:
        super().__init__(f"{name}: This parameter is not supported. {problem}", **{name: [problem]})


class AccessEnded(Forbidden):
    code, status = "access_ended", 403
    message = "Your access to this workspace has ended."


class ModelNotEnabled(Forbidden):
    """Details: model, enabled (the usable ones)."""

    code, status, message = "model_not_enabled", 403, "This model is not enabled in the workspace."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        model = details.get("model")
        super().__init__(
            text or (f"The model {model} is not enabled in the workspace." if model else None), **details
        )


class ModelNotFound(NotFound):
    """Details: model. Also for one that this person may not use."""

    code, status = "model_not_found", 404
    message = "This workspace has no such model, or you don't have access to it."


class ModelNotAllowed(Forbidden):
    """Details: model. It is enabled here, and not for this person."""

    code, status, message = "model_not_allowed", 403, "You don't have access to this model."


class McpNotEnabled(Forbidden):
    code, status = "mcp_not_enabled", 403
    message = "This MCP server is not enabled in the workspace."


class PreviousResponseNotFound(InvalidInput):
    """400, as OpenAI answers: a field of the request is wrong. A response that is itself read is a 404."""

    code, status = "previous_response_not_found", 400
    message = "No stored response of yours has this id."


class TurnInProgress(Conflict):
    code, status = "turn_in_progress", 409
    message = "A reply is still running in this conversation. Wait for it or stop it."


class IdempotencyConflict(Conflict):
    code, status = "idempotency_conflict", 409
    message = "This Idempotency-Key was already used with a different body."


class ModelLacksAbility(Conflict):
    code, status, message = "model_lacks_ability", 409, "This model does not support what was requested."


class ApprovalDecided(Conflict):
    code, status, message = (
        "approval_decided",
        409,
        "This approval was already answered or has expired.",
    )


class ProviderError(DomainError):
    """Details: provider, provider_status (None when it never answered), retry_after if it says so, and its
    own words if it sent any, without secrets: provider_message, provider_code, provider_param."""

    code, status, message = (
        "provider_error",
        502,
        "The model's provider failed. Try again, or choose another model.",
    )

    def __init__(
        self,
        text: str | None = None,
        /,
        *,
        provider: str,
        provider_status: int | None = None,
        did_no_work: bool = False,
        transient: bool = False,
        retry_after: float | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        told: dict[str, Any] = {
            **(words or {}),
            **({} if retry_after is None else {"retry_after": retry_after}),
        }
        super().__init__(text, provider=provider, provider_status=provider_status, **told)
        self.did_no_work = did_no_work  # refused or never reached, so nothing is billed
        self.transient = transient  # the same request may succeed a little later
        self.retry_after = retry_after  # seconds that the provider wants to be left alone


class ProviderPaused(ProviderError):
    """The circuit breaker is open: nothing is sent for a while. Details: also retry_after in seconds."""

    code, status = "provider_paused", 503
    message = "The model's provider is failing. Try again shortly."


class ProviderTimeout(ProviderError):
    code, status, message = "provider_timeout", 504, "The model's provider did not respond in time."


class EngineUnavailable(DomainError):
    """Details: part, where a part of the engine is away; status and engine_said, its own answer."""

    code, status, message = "engine_unavailable", 503, "The engine cannot be reached."


class EngineFailed(DomainError):
    """Details: engine_said, its own words without secrets; status, where it answered with one."""

    code, status, message = "engine_failed", 502, "The reply could not be generated."
