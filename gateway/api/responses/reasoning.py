"""What a provider wants back of its reasoning, as a reasoning item's `encrypted_content`.

Sealed, so that clients store and return it without reading it; bound to the tenant and the model, since a
signature means nothing to another model.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from gateway.providers.base import JsonObject
from kit.secrets import SecretUnreadable, seal_bytes, unseal_bytes

LARGEST = 2 * 1024 * 1024  # bytes of JSON; a larger one is left out
PREFIX = "sy1."


@dataclass(frozen=True, slots=True)
class CarriedReasoning:
    """`details` are the message's `reasoning_details`, `calls` the other fields of tool calls by id."""

    model: str
    details: list[Any] = field(default_factory=list)
    calls: dict[str, JsonObject] = field(default_factory=dict)


def seal_reasoning(tenant_id: UUID, carried: CarriedReasoning) -> str | None:
    """None if it is too large to be sent back with each request."""
    data = {"t": tenant_id.hex, "m": carried.model, "d": carried.details, "c": carried.calls}
    encoded = json.dumps(data, separators=(",", ":")).encode()
    return PREFIX + seal_bytes(encoded) if len(encoded) <= LARGEST else None


def unseal_reasoning(tenant_id: UUID, sealed: Any) -> CarriedReasoning | None:
    """None if it is not ours, or of another tenant."""
    if not isinstance(sealed, str) or not sealed.startswith(PREFIX) or not sealed.isascii():
        return None
    try:
        data = json.loads(unseal_bytes(sealed.removeprefix(PREFIX)))
    except SecretUnreadable:
        return None
    if data.get("t") != tenant_id.hex:
        return None
    return CarriedReasoning(model=data["m"], details=data["d"], calls=data["c"])
