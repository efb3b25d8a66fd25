"""Turns the events of a reply into output items, the same for a running turn and for its stored parts.

Item ids follow from the turn's id and the item's number, so a stored reply has those that were streamed.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from gateway.api.model_calls import joined
from gateway.api.responses.ids import item_id
from gateway.api.responses.output_items import (
    CALL_ITEMS,
    COMPLETED,
    CallItem,
    Events,
    McpCallItem,
    MessageItem,
    OutputItem,
    ReasoningItem,
    ToolListItem,
    WholeItem,
)
from gateway.api.responses.reasoning import CarriedReasoning, seal_reasoning
from gateway.api.responses.tools import ToolTable
from gateway.engines.events import ApprovalRequest, Replacement, ToolCall, ToolResult
from gateway.providers.base import (
    Answering,
    Extra,
    JsonObject,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from gateway.providers.reasoning_details import join_details
from gateway.turns.events import TurnEvent
from workspaces.mcp_servers.queries import ServerRef

INCOMPLETE = "incomplete"
DATA_URL = re.compile(r"data:image/(\w+);base64,(.+)", re.DOTALL | re.IGNORECASE)
PIECE_FIELDS = {"index", "id", "type", "function", "custom"}


class OutputBuilder:
    """Takes a reply's events in order; `output` are the items so far.

    `encrypts`: reasoning items get what their provider wants back. `keeps`: the client can get it by an
    item's id, so an item is made for it even if there is no text to show.
    """

    def __init__(
        self, turn_id: UUID, *, tenant_id: UUID, model: str, tools: ToolTable, encrypts: bool, keeps: bool
    ) -> None:
        self.turn_id = turn_id
        self.model = model
        self.extras: JsonObject = {}  # other fields of the answer
        self._tenant_id = tenant_id
        self._tools = tools
        self._encrypts = encrypts
        self._keeps = keeps or encrypts
        self._items: list[OutputItem] = []
        self._listed: list[OutputItem] = []  # before them
        self._calls: dict[int, CallItem] = {}
        self._mcp_calls: dict[str, list[McpCallItem]] = {}  # without a result, by call id, which may repeat

    @property
    def output(self) -> list[JsonObject]:
        return [item.item for item in [*self._listed, *self._items]]

    def add(self, event: TurnEvent) -> list[JsonObject]:
        """The events for the client; empty for one that is no part of the output."""
        return list(self._added(event))

    def list_tools(self, servers: Iterable[ServerRef]) -> list[JsonObject]:
        """Begins the output with the tools of each of the workspace's servers; they are not stored."""
        return [event for server in servers for event in self._list(server)]

    def _list(self, server: ServerRef) -> Events:
        index = len(self._listed)
        item = ToolListItem(item_id("mcpl", self.turn_id, index), index, server=server)
        self._listed.append(item)
        yield from item.opened()
        yield from item.closed()

    def close(self, status: str = COMPLETED) -> list[JsonObject]:
        """Ends all items; those that are still open with this status."""
        return [event for item in self._items for event in self._closed(item, status)]

    def _added(self, event: TurnEvent) -> Events:
        match event:
            case TextDelta(text):
                yield from self._message(lambda item: item.text(text))
            case RefusalDelta(text):
                yield from self._message(lambda item: item.refusal(text))
            case ReasoningDelta(text):
                yield from self._reasoning(lambda item: item.text(text))
            case ToolCallDelta(pieces):
                for piece in pieces:
                    yield from self._piece(piece)
            case Extra():
                yield from self._extra(event)
            case Answering(model):
                self.model = model
            case ToolCall():
                yield from self._mcp_call(event)
            case ToolResult(call_id, output, is_error):
                if waiting := self._mcp_calls.get(call_id):
                    yield from waiting.pop().result(output, is_error=is_error)
            case ApprovalRequest():
                yield from self._approval(event)
            case Replacement():
                self._items.clear()

    def _open(self, item: OutputItem) -> Events:
        self._items.append(item)
        yield from item.opened()

    def _next_id(self, prefix: str) -> tuple[str, int]:
        """The next item's id and its index in the output; lists of tools do not count for the id."""
        number = len(self._items)
        return item_id(prefix, self.turn_id, number), number + len(self._listed)

    def _closed(self, item: OutputItem, status: str = COMPLETED) -> Events:
        if isinstance(item, ReasoningItem) and not item.is_closed and self._encrypts:
            details = join_details(item.details)
            if details or item.calls:
                carried = CarriedReasoning(self.model, details, item.calls)
                item.encrypted = seal_reasoning(self._tenant_id, carried)
        yield from item.closed(status)

    def _end_last(self, *kinds: type[OutputItem]) -> Events:
        """Ends the last item if it is of one of these kinds; calls stay open, since their pieces may mix."""
        if self._items and isinstance(self._items[-1], kinds):
            yield from self._closed(self._items[-1])

    def _message(self, write: Any) -> Events:
        item = self._items[-1] if self._items else None
        if not isinstance(item, MessageItem) or item.is_closed:
            yield from self._end_last(ReasoningItem)
            item = MessageItem(*self._next_id("msg"))
            yield from self._open(item)
        yield from write(item)

    def _reasoning(self, write: Any) -> Events:
        item = self._items[-1] if self._items else None
        if not isinstance(item, ReasoningItem) or item.is_closed:
            yield from self._end_last(MessageItem)
            item = ReasoningItem(*self._next_id("rs"))
            yield from self._open(item)
        yield from write(item)

    def _carry(self, item: ReasoningItem, details: Any, calls: dict[str, JsonObject]) -> Events:
        item.details.append(details)
        item.calls |= calls
        yield from ()

    def _piece(self, piece: JsonObject) -> Events:
        index = int(piece.get("index") or 0)
        function = piece.get("function") or piece.get("custom") or {}
        if index not in self._calls:
            call_id = str(piece.get("id") or item_id("call", self.turn_id, index))
            own = {name: value for name, value in piece.items() if name not in PIECE_FIELDS}
            if own and self._keeps:
                yield from self._reasoning(lambda item: self._carry(item, None, {call_id: own}))
            yield from self._end_last(ReasoningItem, MessageItem)
            tool = self._tools.tool_of(str(function.get("name") or ""))
            prefix, kind = CALL_ITEMS[tool.kind]
            self._calls[index] = kind(*self._next_id(prefix), call_id, tool)
            yield from self._open(self._calls[index])
        text = function.get("arguments") or function.get("input")
        if isinstance(text, str) and text:
            yield from self._calls[index].arguments(text)

    def _extra(self, extra: Extra) -> Events:
        match extra.place, extra.name:
            case "message", "annotations":
                for annotation in _annotations(extra.value):
                    yield from self._annotate(annotation)
            case "message", "reasoning_details":
                if self._keeps:
                    yield from self._reasoning(lambda item: self._carry(item, extra.value, {}))
            case "message", "images":
                for data in _images(extra.value):
                    yield from self._image(data)
            case "choice", "logprobs":
                if found := _logprobs(extra.value):
                    yield from self._message(lambda item: item.add_logprobs(found))
            case _:
                self.extras[extra.name] = joined(self.extras.get(extra.name), extra.value)

    def _annotate(self, annotation: JsonObject) -> Events:
        """An annotation may come when its message has ended: the whole response then has it."""
        ended = [item for item in self._items if isinstance(item, MessageItem)]
        if ended and ended[-1].is_closed:
            yield from ended[-1].annotate(annotation)
        else:
            yield from self._message(lambda item: item.annotate(annotation))

    def _image(self, url: str) -> Events:
        yield from self._end_last(ReasoningItem, MessageItem)
        name, index = self._next_id("ig")
        found = DATA_URL.fullmatch(url)
        head: JsonObject = {"id": name, "type": "image_generation_call", "status": COMPLETED}
        form = {"output_format": found[1].lower()} if found else {}
        item = WholeItem({**head, "result": found[2] if found else url, **form}, index)
        yield from self._open(item)
        yield from item.closed()

    def _mcp_call(self, call: ToolCall) -> Events:
        yield from self._end_last(ReasoningItem, MessageItem)
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        name, index = self._next_id("mcp")
        item = McpCallItem(name, index, server=call.server or "", tool=call.tool, arguments=arguments)
        self._mcp_calls.setdefault(call.call_id, []).append(item)
        yield from self._open(item)

    def _approval(self, request: ApprovalRequest) -> Events:
        """The call waits for a person, who answers here or in the web page."""
        yield from self._end_last(ReasoningItem, MessageItem)
        call = request.call
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        _, index = self._next_id("mcpr")
        name = f"mcpr_{request.approval_id}"
        if waiting := self._mcp_calls.get(call.call_id):
            waiting[-1].item["approval_request_id"] = name
        head = {"id": name, "type": "mcp_approval_request", "arguments": arguments}
        item = WholeItem({**head, "name": call.tool, "server_label": call.server or ""}, index)
        yield from self._open(item)
        yield from item.closed()


def whole_output(builder: OutputBuilder, events: Iterable[TurnEvent], status: str) -> list[JsonObject]:
    """The items of a whole reply; `status` is that of one that was cut off."""
    for event in events:
        builder.add(event)
    builder.close(status)
    return builder.output


def _annotations(value: Any) -> Iterator[JsonObject]:
    """Flat, as this API has them: chat completions nest them under their type."""
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            kind = each.get("type")
            inner = each.get(kind) if isinstance(kind, str) else None
            yield {"type": kind, **inner} if isinstance(inner, dict) else each


def _images(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list) else ():
        image = each.get("image_url") if isinstance(each, dict) else None
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str):
            yield url


def _logprobs(value: Any) -> list[JsonObject]:
    content = value.get("content") if isinstance(value, dict) else None
    found = content if isinstance(content, list) else []
    return [_logprob(each) for each in found if isinstance(each, dict)]


def _logprob(each: JsonObject) -> JsonObject:
    tops = each.get("top_logprobs")
    own = {"bytes": each.get("bytes") or [], "top_logprobs": []}
    more = [_logprob(top) for top in tops if isinstance(top, dict)] if isinstance(tops, list) else []
    return {
        **each,
        **own,
        "top_logprobs": [{k: v for k, v in t.items() if k != "top_logprobs"} for t in more],
    }
