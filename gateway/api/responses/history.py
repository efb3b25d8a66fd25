"""The references of a request: the responses that it continues, and items by their ids."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from accounts.principals import Principal
from gateway.api.responses.envelope import status_of
from gateway.api.responses.ids import item_id, response_id
from gateway.api.responses.output import INCOMPLETE, OutputBuilder, whole_output
from gateway.api.responses.output_items import COMPLETED
from gateway.api.responses.request import ResponsesRequest, unknown_response
from gateway.api.responses.tools import tool_table
from gateway.errors import PreviousResponseNotFound
from gateway.providers.base import JsonObject
from gateway.turns.event_json import reply_events
from gateway.turns.stored_response import StoredReply, read_path, read_responses
from kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class References:
    """The items before the request's own, and items by id."""

    history: list[JsonObject] = field(default_factory=list)
    known: dict[str, JsonObject] = field(default_factory=dict)


def read_references(
    *, principal: Principal, previous: UUID | None, needed: set[UUID]
) -> tuple[list[StoredReply], dict[UUID, StoredReply]]:
    """In the tenant's schema; reads nothing for a request without references. PreviousResponseNotFound."""
    path: list[StoredReply] = []
    if previous is not None:
        try:
            path = read_path(
                principal=principal, turn_id=previous, most_bytes=settings.MODEL_CALL_MAX_BODY_BYTES
            )
        except NotFound as exc:
            raise PreviousResponseNotFound(unknown_response(response_id(previous))) from exc
    missing = needed - {reply.turn_id for reply in path}
    found = read_responses(principal=principal, turn_ids=missing) if missing else {}
    return path, found | {reply.turn_id: reply for reply in path}


def references_of(
    principal: Principal,
    path: Iterable[StoredReply],
    found: dict[UUID, StoredReply],
    request: ResponsesRequest,
) -> References:
    """The items of the responses read; reasoning includes the data that its provider needs again."""
    tenant_id = principal.tenant.id
    history = [item for reply in path for item in [*reply.input_items, *output_of(reply, tenant_id)]]
    known: dict[str, JsonObject] = {}
    for turn_id in request.needed_turns & found.keys():
        reply = found[turn_id]
        items = [*numbered_input(reply), *output_of(reply, tenant_id)]
        known |= {str(item.get("id")): item for item in items}
    return References(history, known)


def output_of(reply: StoredReply, tenant_id: UUID, *, encrypts: bool = True) -> list[JsonObject]:
    """The output items of a stored response, with the ids that they had when they were sent."""
    return whole_output(
        builder_of(reply, tenant_id, encrypts=encrypts), reply_events(reply.parts), items_status(reply)
    )


def builder_of(reply: StoredReply, tenant_id: UUID, *, encrypts: bool) -> OutputBuilder:
    return OutputBuilder(
        reply.turn_id,
        tenant_id=tenant_id,
        model=reply.model,
        tools=tool_table(reply.request.get("tools")),
        encrypts=encrypts,
        keeps=True,
    )


def items_status(reply: StoredReply) -> str:
    status = status_of(reply.finish_reason)
    return status if status in (COMPLETED, "in_progress") else INCOMPLETE


PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


def numbered_input(reply: StoredReply) -> list[JsonObject]:
    """The input items with ids of our own; a message's text is a part."""
    found: list[JsonObject] = []
    for at, item in enumerate(reply.input_items):
        kind = str(item.get("type") or "message")
        own_id = item_id(PREFIXES.get(kind, "item"), reply.turn_id, at, is_input=True)
        found.append({**item, **_as_listed(item, kind), "id": own_id, "type": kind})
    return found


def _as_listed(item: JsonObject, kind: str) -> JsonObject:
    if kind.endswith("_output"):
        return {"status": item.get("status") or COMPLETED}
    if kind != "message":
        return {}
    content = item.get("content")
    if isinstance(content, str):
        part: JsonObject = {"type": "input_text", "text": content}
        if item.get("role") == "assistant":
            part = {"type": "output_text", "text": content, "annotations": []}
        return {"content": [part], "status": item.get("status") or COMPLETED}
    return {"status": item.get("status") or COMPLETED}
