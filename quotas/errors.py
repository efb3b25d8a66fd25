"""Errors about budgets, prices and the calls of a turn."""

from kit.errors import Conflict, DomainError


class RepeatedCall(Conflict):
    """Details: attempts. Only engines see it."""

    code, status, message = "repeated_call", 409, "This turn already made the same model call."


class TurnLimit(Conflict):
    """Details: calls. Ends a turn with the finish reason `tool_limit`."""

    code, status, message = "turn_limit", 409, "The reply reached the limit of model calls per turn."


class PriceUnknown(Conflict):
    """Details: model. A cost budget applies, but the cost of the call cannot be bounded."""

    code, status = "price_unknown", 409
    message = "A cost budget applies, but this model has no price. Ask an admin to set one."


class QuotaExceeded(DomainError):
    """Details: level, metric, window, limit, used, reserved, requested, resets_at, retry_after in seconds."""

    code, status, message = "quota_exceeded", 429, "Not enough budget left."
