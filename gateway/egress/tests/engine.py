"""An engine as the egress meets it: turns that run, and calls made in their name over a real socket."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx

from accounts.engine_accounts import member_account, note_registered
from accounts.tests.cast import Person
from gateway.models import Conversation, Turn
from kit.tenancy import TenantRef, tenant_scope
from quotas.calls import Payer
from quotas.models import BudgetWindow, UsageRecord
from quotas.reservations import open_turn
from quotas.tests.ledger import planned_call

SECRET = "a secret between the engine and the egress of these tests"
DONE, PING = "[DONE]", ": ping"
QUESTION = [{"role": "user", "content": "Say hello"}]  # "user Say hello": three tokens
Told = dict[str, Any] | str


@dataclass(frozen=True)
class EngineTurn:
    """A running turn by what its engine says of it."""

    tenant: TenantRef
    id: UUID
    conversation_id: UUID
    engine_user_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {
            "x-message": str(self.id),
            "x-conversation": str(self.conversation_id),
            "x-engine-user": self.engine_user_id,
        }

    def saying(self, **ids: Any) -> "EngineTurn":
        """The same with forged ids."""
        return replace(self, **ids)


def begin_turn(person: Person, *, model: str = "local", prompt: int = 3, output: int = 20) -> EngineTurn:
    """A turn as the ingress admits it, in a conversation of its own."""
    principal = person.principal
    place = {"workspace_id": principal.workspace.id, "user_id": principal.user_id}
    account = member_account(engine="librechat", tenant_id=principal.tenant.id, user_id=principal.user_id)
    engine_user_id = f"engine-{principal.user_id}"
    note_registered(account_id=account.id, engine_user_id=engine_user_id)
    with tenant_scope(principal.tenant):
        conversation = Conversation.objects.create(engine="librechat", engine_account_id=account.id, **place)
        turn = Turn.objects.create(
            conversation=conversation, kind=Turn.Kind.CHAT, model=model, engine="librechat", **place
        )
    open_turn(
        turn_id=turn.id,
        payer=Payer.of(principal),
        purpose="chat",
        engine="librechat",
        call=planned_call(prompt, output, model=model),
        lease_seconds=60,
    )
    return EngineTurn(principal.tenant, turn.id, conversation.id, engine_user_id)


def body(**fields: Any) -> dict[str, Any]:
    """A call as LibreChat makes it; a field that is None is left out."""
    sent = {"model": "routed", "messages": QUESTION, "stream": True, "max_tokens": 20, **fields}
    return {name: value for name, value in sent.items() if value is not None}


class Engine:
    """Calls the egress at `url` for its turns."""

    def __init__(self, url: str) -> None:
        headers = {"Authorization": f"Bearer {SECRET}"}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=20, verify=False)

    def call(self, turn: EngineTurn, **fields: Any) -> httpx.Response:
        """The whole answer."""
        return self.client.post("/v1/chat/completions", json=body(**fields), headers=turn.headers)

    @contextmanager
    def calling(self, turn: EngineTurn, **fields: Any) -> Iterator[Iterator[Told]]:
        """What it is told, piece by piece; leaving the block hangs up."""
        with self.client.stream(
            "POST", "/v1/chat/completions", json=body(**fields), headers=turn.headers
        ) as answer:
            assert answer.status_code == 200, answer.read()
            yield pieces(answer.iter_lines())


def pieces(lines: Iterator[str]) -> Iterator[Told]:
    """A stream's objects, `[DONE]` and comments."""
    for line in lines:
        if line.startswith(":"):
            yield line
        elif line:
            data = line.removeprefix("data: ")
            yield data if data == DONE else json.loads(data)


def told(answer: httpx.Response) -> list[Told]:
    assert answer.status_code == 200, answer.text
    return list(pieces(iter(answer.text.splitlines())))


def deltas(said: list[Told], name: str) -> list[Any]:
    """One field of the deltas, where they have it."""
    chunks = [piece for piece in said if isinstance(piece, dict) and piece.get("choices")]
    found = [chunk["choices"][0]["delta"] for chunk in chunks]
    return [delta[name] for delta in found if delta.get(name)]


def until_text(said: Iterator[Told], text: str) -> list[Told]:
    """What is told up to the piece that completes `text`."""
    seen = [next(said)]
    while "".join(deltas(seen, "content")) != text:
        seen.append(next(said))
    return seen


def ledger() -> list[tuple[int, int, str]]:
    """Its lines: tokens in and out, and how exact."""
    return [(line.input_tokens, line.output_tokens, line.exactness) for line in _lines()]


def counters() -> tuple[int, int]:
    """Used and reserved, after the ledger was seen to agree."""
    window = BudgetWindow.objects.get()
    assert window.used == sum(line.input_tokens + line.output_tokens for line in _lines())
    return window.used, window.reserved


def last_call(turn: EngineTurn) -> dict[str, Any] | None:
    with tenant_scope(turn.tenant):
        noted: dict[str, Any] | None = Turn.objects.get(id=turn.id).last_call
    return noted


def _lines() -> list[UsageRecord]:
    return list(UsageRecord.objects.order_by("id"))
