"""The answers of whole calls that have an Idempotency-Key: kept with their turns for a repeated request."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.principals import Principal
from gateway.errors import IdempotencyConflict, TurnInProgress
from gateway.models import Turn
from gateway.turns.context import find_keyed
from kit.errors import restore
from kit.tenancy import in_tenant

LARGEST_KEPT = 4 * 1024 * 1024  # bytes
KIND = "answer"  # of the part that has it
STILL_RUNNING = "The first request with this Idempotency-Key is still running. Try again shortly."
NOT_KEPT = "The answer to this request was too large to be kept. Send it with another Idempotency-Key."


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request's Idempotency-Key, and a hash of its body."""

    key: str
    body_hash: str

    @classmethod
    def of(cls, key: str | None, body: bytes) -> "RequestKey | None":
        return cls(key, hashlib.sha256(body).hexdigest()) if key else None


async def kept_answer(principal: Principal, key: RequestKey) -> bytes | None:
    """The answer to the earlier request with this key; None if there was none.

    IdempotencyConflict if it had another body or its answer was too large, TurnInProgress while it runs, and
    its own error if it failed.
    """
    return await in_tenant(principal.tenant, _find, principal, key)


def _find(principal: Principal, key: RequestKey) -> bytes | None:
    replay = find_keyed(principal, key.key, key.body_hash)
    if replay is None:
        return None
    turn = Turn.objects.get(id=replay.turn_id)
    if turn.error:
        raise restore(turn.error)
    text = next((part["text"] for part in turn.parts if part["type"] == KIND), None)
    if text is not None:
        return str(text).encode()
    if turn.is_running:
        raise TurnInProgress(STILL_RUNNING, turn_id=str(turn.id))
    raise IdempotencyConflict(NOT_KEPT)


async def keep_answer(principal: Principal, key: RequestKey, pieces: Iterable[bytes]) -> None:
    """Stores an answer that is not too large."""
    answer = b"".join(pieces)
    if len(answer) <= LARGEST_KEPT:
        await in_tenant(principal.tenant, _keep, principal, key, answer.decode())


def _keep(principal: Principal, key: RequestKey, text: str) -> None:
    keyed = Turn.objects.filter(
        user_id=principal.user_id, workspace_id=principal.workspace.id, idempotency_key=key.key
    )
    keyed.update(parts=[{"type": KIND, "text": text}])
