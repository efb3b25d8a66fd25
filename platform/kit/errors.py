"""The one error tree: services raise these, edges translate them.

DomainError
├── InvalidJson                400
├── HostUnknown                400
├── InvalidInput               422  (per field)
│   └── ContextTooLong         422
├── AddressRefused             422
├── PayloadTooLarge            413
├── BodyTooSlow                408
├── UnsupportedMediaType       415
├── MethodNotAllowed           405
├── NotAuthenticated           401
│   ├── TokenInvalid           401
│   ├── CredentialsInvalid     401
│   └── SecondStepRequired     401
├── Forbidden                  403
│   ├── RoleTooLow             403
│   ├── ScopeMissing           403
│   ├── PersonRequired         403
│   ├── KeyBound               403
│   ├── AccessEnded            403
│   ├── WrongAddress           403
│   ├── AddressUnverified      403
│   ├── OriginRefused          403
│   ├── ModelNotEnabled        403
│   ├── ModelNotAllowed        403
│   └── McpNotEnabled          403
├── NotFound                   404
│   └── InvitationInvalid      404
├── Conflict                   409
│   ├── EmailTaken             409
│   ├── LastOwner              409
│   ├── TurnInProgress         409
│   ├── IdempotencyConflict    409
│   ├── RepeatedCall           409
│   ├── PriceUnknown           409
│   ├── ModelLacksAbility      409
│   ├── ApprovalDecided        409
│   ├── McpSignInNeeded        409
│   └── TurnLimit              409
├── QuotaExceeded              429
├── RateLimited                429
│   └── InvitationLimit        429
├── ProviderError              502
│   └── ProviderTimeout        504
├── McpServerFailed            502
│   ├── ToolChanged            502
│   └── McpSignInFailed        502
├── UpstreamTooLarge           502
├── EngineUnavailable          503
├── EngineFailed               502
├── AtCapacity                 503
├── DatabaseUnavailable        503
│   └── DatabaseBusy           503
├── TurnInterrupted            503
├── ShuttingDown               503
├── SecretUnreadable           503
└── InternalError              500
"""

from typing import Any, ClassVar

RETRY_SECONDS = 2  # after which it is worth asking again, where nothing more is known


class DomainError(Exception):
    """Something a caller is told about: a code for machines, a message for people, data for both.

    Messages and details go to clients: no secret, no address of ours, no stack.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        self.text = text or self.message
        self.details = details
        super().__init__(self.text)

    def as_dict(self, request_id: str = "") -> dict[str, Any]:
        """The body of the one error shape, without its `error` envelope."""
        return {
            "code": self.code,
            "message": self.text,
            "details": self.details,
            "request_id": request_id,
        }


class InvalidJson(DomainError):
    code, status, message = "invalid_json", 400, "The body is not valid JSON."


class HostUnknown(DomainError):
    code, status, message = "host_unknown", 400, "This installation is not reached by that host name."


class InvalidInput(DomainError):
    """Details map each wrong field to the list of what is wrong with it."""

    code, status, message = "invalid_input", 422, "Some fields are not valid."


class ContextTooLong(InvalidInput):
    code, status = "context_too_long", 422
    message = "The message does not fit into the model's context window."


class AddressRefused(DomainError):
    """Says neither where a name leads nor which rule refused it: that would map the inner network."""

    code, status, message = "address_refused", 422, "This address may not be reached from here."


class PayloadTooLarge(DomainError):
    """Details: most_bytes, where the bound is known."""

    code, status, message = "payload_too_large", 413, "The request is too large."


class BodyTooSlow(DomainError):
    code, status = "body_too_slow", 408
    message = "The request body took too long to arrive. Try again."


class UnsupportedMediaType(DomainError):
    code, status, message = "unsupported_media_type", 415, "Send the body as application/json."


class MethodNotAllowed(DomainError):
    code, status, message = "method_not_allowed", 405, "This address does not take that method."


class NotAuthenticated(DomainError):
    code, status, message = "not_authenticated", 401, "Sign in, or send a bearer token."


class TokenInvalid(NotAuthenticated):
    code, status = "token_invalid", 401
    message = "The token is not valid, has expired, or no longer opens this workspace."


class CredentialsInvalid(NotAuthenticated):
    code, status, message = "credentials_invalid", 401, "The e-mail or the password is wrong."


class SecondStepRequired(NotAuthenticated):
    code, status = "second_step_required", 401
    message = "This account asks for a second step: send the code of its app, or a recovery code, as `code`."


class Forbidden(DomainError):
    code, status, message = "forbidden", 403, "You may not do this."


class RoleTooLow(Forbidden):
    code, status, message = "role_too_low", 403, "Your role in this workspace does not allow this."


class ScopeMissing(Forbidden):
    code, status, message = "scope_missing", 403, "This API key is not for that."


class PersonRequired(Forbidden):
    code, status = "person_required", 403
    message = "No API key may do this, only a person who is signed in."


class KeyBound(Forbidden):
    code, status = "key_bound", 403
    message = "This API key is limited to one workspace. Use a team-wide key or sign in."


class AccessEnded(Forbidden):
    code, status = "access_ended", 403
    message = "Your access to this workspace has ended."


class OriginRefused(Forbidden):
    code, status, message = "origin_refused", 403, "The request comes from another site."


class ModelNotEnabled(Forbidden):
    code, status, message = "model_not_enabled", 403, "This model is not enabled in the workspace."


class ModelNotAllowed(Forbidden):
    """Details: model. It is enabled here, and not for this person."""

    code, status, message = "model_not_allowed", 403, "You may not use this model."


class McpNotEnabled(Forbidden):
    code, status = "mcp_not_enabled", 403
    message = "This MCP server is not enabled in the workspace."


class NotFound(DomainError):
    code, status, message = "not_found", 404, "There is nothing here."


class Conflict(DomainError):
    code, status, message = "conflict", 409, "This clashes with what is there already."


class EmailTaken(Conflict):
    code, status, message = "email_taken", 409, "An account with this e-mail exists; sign in instead."


class LastOwner(Conflict):
    code, status = "last_owner", 409
    message = "A team needs an owner: offer the ownership to somebody first."


class InvitationInvalid(NotFound):
    code, status = "invitation_invalid", 404
    message = "This invitation has been used, has expired or was withdrawn. Ask for a new one."


class WrongAddress(Forbidden):
    code, status = "wrong_address", 403
    message = "This invitation is for another e-mail address."


class AddressUnverified(Forbidden):
    code, status = "address_unverified", 403
    message = "Confirm your e-mail address first: the link is in your mail."


class TurnInProgress(Conflict):
    code, status = "turn_in_progress", 409
    message = "A reply is still being written in this conversation."


class IdempotencyConflict(Conflict):
    code, status = "idempotency_conflict", 409
    message = "This Idempotency-Key was used with another body."


class RepeatedCall(Conflict):
    """Details: attempts. Only engines ever see it."""

    code, status, message = "repeated_call", 409, "This model call was made before in this turn."


class ModelLacksAbility(Conflict):
    code, status, message = "model_lacks_ability", 409, "This model cannot do what was asked of it."


class ApprovalDecided(Conflict):
    code, status, message = (
        "approval_decided",
        409,
        "This was answered already, or nobody waits for it any more.",
    )


class McpSignInNeeded(Conflict):
    """Details: mcp, how (`member`: each signs in for themselves, `workspace`: a manager does), and `scope`
    where somebody is signed in with less than the server wants."""

    code, status, message = "mcp_sign_in_needed", 409, "Somebody has to sign in at this MCP server first."
    did_no_work = False  # the server refused before it ran anything
    wanted_scope = ""  # what the server wants beside, where it said so


class TurnLimit(Conflict):
    """Details: calls. Ends a turn with the finish reason `tool_limit`."""

    code, status, message = "turn_limit", 409, "The turn made as many model calls as a turn may."


class PriceUnknown(Conflict):
    """Details: model. A budget of money cannot be held against what nobody knows the price of."""

    code, status = "price_unknown", 409
    message = "A budget of money applies here, and this model has no price yet."


class QuotaExceeded(DomainError):
    """Details: level, metric, window, limit, used, reserved, requested, resets_at, retry_after in seconds."""

    code, status, message = "quota_exceeded", 429, "The budget does not cover this."


class RateLimited(DomainError):
    """Details: retry_after in seconds; where a limit of ours bit also those of QuotaExceeded."""

    code, status, message = "rate_limited", 429, "Too many requests. Try again shortly."


class InvitationLimit(RateLimited):
    """Details: limit, retry_after in seconds; of a team also sent and requested."""

    code, status, message = "invitation_limit", 429, "Too many invitations were sent. Try again tomorrow."


class ProviderError(DomainError):
    """Details: provider, provider_status (None when it never answered)."""

    code, status, message = "provider_error", 502, "The model's provider failed."

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
    ) -> None:
        super().__init__(text, provider=provider, provider_status=provider_status)
        self.did_no_work = did_no_work  # refused or never reached, so nothing is billed
        self.transient = transient  # the same request may succeed a little later
        self.retry_after = retry_after  # seconds that the provider wants to be left alone


class ProviderTimeout(ProviderError):
    code, status, message = "provider_timeout", 504, "The model's provider did not answer in time."


class McpServerFailed(DomainError):
    code, status, message = "mcp_server_failed", 502, "The MCP server does not answer as it should."


class ToolChanged(McpServerFailed):
    code, status = "tool_changed", 502
    message = "This tool is not what was accepted; a manager has to look at it."


class McpSignInFailed(McpServerFailed):
    code, status = "mcp_sign_in_failed", 502
    message = "Signing in at the MCP server did not work."


class UpstreamTooLarge(DomainError):
    code, status, message = "upstream_too_large", 502, "The answer was too large, and was broken off."


class EngineUnavailable(DomainError):
    """Details: part, where a part of the engine is away; status and engine_said, its own answer."""

    code, status, message = "engine_unavailable", 503, "The engine cannot be reached."


class EngineFailed(DomainError):
    """Details: engine_said, its own words without secrets; status, where it answered with one."""

    code, status, message = "engine_failed", 502, "The engine could not run the turn."


class AtCapacity(DomainError):
    """A limit of our own is reached, and nothing was done. Details: retry_after in seconds; of a turn also
    `scope`, which says what is full: `server` or `team`."""

    code, status = "at_capacity", 503
    message = "This server is writing as many replies as it may; try again shortly."
    retry_after: ClassVar[int] = 5

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        super().__init__(text, **{"retry_after": self.retry_after, **details})


class DatabaseUnavailable(DomainError):
    """Details: retry_after in seconds."""

    code, status = "database_unavailable", 503
    message = "The database cannot be reached right now. Try again in a few seconds."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        super().__init__(text, **{"retry_after": RETRY_SECONDS, **details})


class DatabaseBusy(DatabaseUnavailable):
    code, status = "database_busy", 503
    message = "Other requests are changing the same records. Try again in a few seconds."


class TurnInterrupted(DomainError):
    """Carries Retry-After."""

    code, status = "turn_interrupted", 503
    message = "The server stopped while the reply was being written; what was written is kept."


class ShuttingDown(DomainError):
    """Details: turn_id of a turn that goes on in another process. Carries Retry-After."""

    code, status = "shutting_down", 503
    message = "The server is restarting. Try again in a few seconds."


class SecretUnreadable(DomainError):
    """None of the installation's keys opens something that was encrypted: its key is missing."""

    code, status = "secret_unreadable", 503
    message = (
        "This was encrypted with a key that ENCRYPTION_KEYS no longer has. Ask the operator to add the key, "
        "or enter it again."
    )


class InternalError(DomainError):
    code, status, message = "internal", 500, "Something went wrong on our side."


def restore(stored: dict[str, Any]) -> DomainError:
    """The error that was stored as `as_dict` tells it; InternalError for a code that no longer exists."""
    kind = next((kind for kind in all_errors() if kind.code == stored["code"]), InternalError)
    error = kind.__new__(kind)
    DomainError.__init__(error, stored["message"], **stored["details"])
    return error


def all_errors() -> list[type[DomainError]]:
    """Every class of the tree below the root."""
    found: list[type[DomainError]] = []
    level = DomainError.__subclasses__()
    while level:
        found += level
        level = [child for kind in level for child in kind.__subclasses__()]
    return found
