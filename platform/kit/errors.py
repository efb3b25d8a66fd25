"""The root of the error tree, and the general errors; each app defines its own in its `errors.py`.

Services raise these errors; entry points translate them into responses.

DomainError
├── InvalidJson             400
├── HostUnknown             400
├── InvalidInput            422  (per field)
├── AddressRefused          422
├── PayloadTooLarge         413
├── BodyTooSlow             408
├── UnsupportedMediaType    415
├── MethodNotAllowed        405
├── NotAuthenticated        401
│   └── TokenInvalid        401
├── Forbidden               403
├── NotFound                404
├── Conflict                409
├── RateLimited             429
├── UpstreamTooLarge        502
├── AtCapacity              503
├── DatabaseUnavailable     503
│   └── DatabaseBusy        503
├── TurnInterrupted         503
├── ShuttingDown            503
├── SecretUnreadable        503
└── InternalError           500
"""

from typing import Any, ClassVar

RETRY_SECONDS = 2  # default for retry_after


class DomainError(Exception):
    """An error for the caller: a code for machines, a message for people, details for both.

    Messages and details go to clients: no secrets, internal addresses or stack traces.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        self.text = text or self.message
        self.details = details
        super().__init__(self.text)

    def as_dict(self, request_id: str = "") -> dict[str, Any]:
        """The body of the error shape, without its `error` envelope."""
        return {
            "code": self.code,
            "message": self.text,
            "details": self.details,
            "request_id": request_id,
        }


class InvalidJson(DomainError):
    code, status, message = "invalid_json", 400, "The body is not valid JSON."


class HostUnknown(DomainError):
    code, status, message = "host_unknown", 400, "Unknown host name."


class InvalidInput(DomainError):
    """Details map each invalid field to a list of problems."""

    code, status, message = "invalid_input", 422, "Some fields are not valid."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        super().__init__(text or _first_problem(details), **details)


class AddressRefused(DomainError):
    """Never reveals what a name resolves to or which rule refused it: that would map the network."""

    code, status, message = "address_refused", 422, "Requests to this address are not allowed."


class PayloadTooLarge(DomainError):
    """Details: most_bytes, if the limit is known."""

    code, status, message = "payload_too_large", 413, "The request is too large."

    def __init__(self, text: str | None = None, /, **details: Any) -> None:
        most = details.get("most_bytes")
        super().__init__(text or (f"The request is larger than {_size(most)}." if most else None), **details)


class BodyTooSlow(DomainError):
    code, status = "body_too_slow", 408
    message = "The request body took too long to arrive. Try again."


class UnsupportedMediaType(DomainError):
    code, status, message = "unsupported_media_type", 415, "Send the body as application/json."


class MethodNotAllowed(DomainError):
    code, status, message = "method_not_allowed", 405, "Method not allowed."


class NotAuthenticated(DomainError):
    code, status, message = "not_authenticated", 401, "Sign in, or send a bearer token."


class TokenInvalid(NotAuthenticated):
    code, status = "token_invalid", 401
    message = "The token is invalid, expired, or no longer gives access to this workspace."


class Forbidden(DomainError):
    code, status, message = "forbidden", 403, "You don't have permission to do this."


class NotFound(DomainError):
    code, status, message = "not_found", 404, "Not found."


class Conflict(DomainError):
    code, status, message = "conflict", 409, "This conflicts with existing data."


class RateLimited(DomainError):
    """Details: retry_after in seconds; for a limit of ours also those of QuotaExceeded."""

    code, status, message = "rate_limited", 429, "Too many requests. Try again shortly."


class UpstreamTooLarge(DomainError):
    code, status, message = "upstream_too_large", 502, "The response was too large and was cut off."


class AtCapacity(DomainError):
    """A limit of our own is reached, and nothing was done. Details: retry_after in seconds; for a turn also
    `scope`, the level of the limit: `server` or `team`."""

    code, status = "at_capacity", 503
    message = "The server is at capacity. Try again shortly."
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
    """Sent with Retry-After."""

    code, status = "turn_interrupted", 503
    message = "The server stopped during the reply. The text so far is saved."


class ShuttingDown(DomainError):
    """Details: turn_id of a turn that continues in another process. Sent with Retry-After."""

    code, status = "shutting_down", 503
    message = "The server is restarting. Try again in a few seconds."


class SecretUnreadable(DomainError):
    """None of the installation's keys decrypts a secret: its key is missing."""

    code, status = "secret_unreadable", 503
    message = (
        "This was encrypted with a key that ENCRYPTION_KEYS no longer has. Ask the operator to add the key, "
        "or enter it again."
    )


class InternalError(DomainError):
    code, status, message = "internal", 500, "Something went wrong on our side."


def _first_problem(details: dict[str, Any]) -> str | None:
    """`title: This field is required.`, from the first field that has a problem."""
    for name, problems in details.items():
        if isinstance(problems, list) and problems and isinstance(problems[0], str):
            return f"{name}: {problems[0]}"
    return None


def _size(number: int) -> str:
    return f"{number / 1_000_000:g} MB" if number >= 1_000_000 else f"{number / 1000:g} kB"


def restore(stored: dict[str, Any]) -> DomainError:
    """The error from its stored `as_dict`; InternalError for a code that no longer exists."""
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
