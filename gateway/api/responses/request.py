"""A Responses request, translated into a request for one model call."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from gateway.api.responses.content import plain_text
from gateway.api.responses.ids import turn_of_item, turn_of_response
from gateway.api.responses.input_items import InputTranslator, Translation
from gateway.api.responses.parameters import (
    checked_metadata,
    includes,
    passed_on,
    renamed,
    translated,
    truth,
)
from gateway.api.responses.tools import ToolTable, chosen_tools, tool_table
from gateway.errors import PreviousResponseNotFound
from gateway.providers.base import JsonObject
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.stored_response import ResponseRecord
from kit.errors import DomainError, InvalidInput
from kit.json_input import is_storable

MOST_ITEMS = 10_000
REFERENCE = "item_reference"
# Fields that a response repeats from its request, in addition to computed ones.
SHOWN = (
    "instructions",
    "max_output_tokens",
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "top_logprobs",
    "tool_choice",
    "truncation",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
    "reasoning",
    "text",
)
UNKNOWN_ITEM = "Item with id '{id}' not found. Items are not stored when store is false."


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A checked request: what it refers to is still to be read, see `needed_turns` and `previous`."""

    body: JsonObject
    items: list[JsonObject]
    tools: ToolTable
    stores: bool
    includes: frozenset[str]
    metadata: dict[str, str]
    previous: UUID | None
    size: int = 0  # bytes of the body
    left_out: tuple[str, ...] = ()  # tools that the client always offers and no model here has

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def encrypts(self) -> bool:
        """Whether reasoning is sent encrypted: if requested, or if it could not be looked up later."""
        return "reasoning.encrypted_content" in self.includes or not self.stores

    @property
    def needed_turns(self) -> set[UUID]:
        """The responses whose items it refers to by id."""
        found = (turn_of_item(_text(item.get("id"))) for item in self.items if _is_reference(item))
        return {turn for turn in found if turn is not None}

    @property
    def shown(self) -> JsonObject:
        """The parameters as the response shows them, and as they are stored."""
        given = {name: self.body[name] for name in SHOWN if self.body.get(name) is not None}
        return {
            **given,
            "tools": self.tools.shown,
            "metadata": self.metadata,
            "store": self.stores,
            "include": sorted(self.includes),
            "previous_response_id": self.body.get("previous_response_id"),
            "model": self.model,
        }


def parse_request(
    body: JsonObject, *, size: int = 0, unsupported: frozenset[str] = frozenset()
) -> ResponsesRequest:
    """InvalidInput and UnsupportedParameter name the field.

    `size` is that of the body in bytes. Tools of the types in `unsupported` are left out instead of refused.
    """
    items = _items_of(body.get("input"))
    given = _tools_of(body, items)
    left_out = tuple(_kind(tool) for tool in given if _kind(tool) in unsupported)
    table = tool_table([tool for tool in given if _kind(tool) not in unsupported])
    if body.get("truncation") not in (None, "auto", "disabled"):
        raise InvalidInput(truncation=["Send auto or disabled."])
    if not isinstance(body.get("instructions"), str | None):
        raise InvalidInput(instructions=["Send text."])
    return ResponsesRequest(
        body=body,
        items=items,
        tools=table,
        stores=truth(body, "store", default=True),
        includes=frozenset(includes(body.get("include"))),
        metadata=checked_metadata(body.get("metadata")),
        previous=_previous(body.get("previous_response_id")),
        size=size,
        left_out=left_out,
    )


def _items_of(given: Any) -> list[JsonObject]:
    """The input as items: a text is a message of the user."""
    if given is None:
        return []
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    if not isinstance(given, list):
        raise InvalidInput(input=["Send text or a list of items."])
    if len(given) > MOST_ITEMS:
        raise InvalidInput(input=[f"Too many items: {len(given):,}. Send at most {MOST_ITEMS:,}."])
    for at, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidInput(**{f"input[{at}]": ["Send an object."]})
    return given


def _tools_of(body: JsonObject, items: list[JsonObject]) -> list[Any]:
    """Those of the request, and those that an item of its input adds."""
    tools = body.get("tools")
    if not isinstance(tools, list | None):
        raise InvalidInput(tools=["Send a list of tools."])
    added = [item.get("tools") for item in items if item.get("type") == "additional_tools"]
    return [*(tools or []), *(tool for more in added if isinstance(more, list) for tool in more)]


def _kind(tool: Any) -> str:
    return str(tool.get("type")) if isinstance(tool, dict) else ""


def _previous(given: Any) -> UUID | None:
    """PreviousResponseNotFound for a malformed id, as for an unknown one."""
    if given is None or given == "":
        return None
    found = turn_of_response(given) if isinstance(given, str) else None
    if found is None:
        raise PreviousResponseNotFound(unknown_response(given))
    return found


def unknown_response(response_id: Any) -> str:
    return f"Previous response with id '{str(response_id)[:80]}' not found."


def _is_reference(item: JsonObject) -> bool:
    """Reasoning is looked up too, unless the client returns its encrypted content."""
    kind = item.get("type")
    if kind == "reasoning":
        return item.get("encrypted_content") is None
    return kind == REFERENCE or (kind is None and "role" not in item and "id" in item)


def resolved(items: list[JsonObject], known: Mapping[str, JsonObject]) -> list[JsonObject]:
    """The items with those that they refer to. InvalidInput for one that is not stored."""
    found: list[JsonObject] = []
    for at, item in enumerate(items):
        if not _is_reference(item):
            found.append(item)
            continue
        item_id = _text(item.get("id"))
        if item_id in known:
            found.append(known[item_id])
        elif item.get("type") == "reasoning":
            found.append(item)
        else:
            raise InvalidInput(**{f"input[{at}].id": [UNKNOWN_ITEM.format(id=item_id[:80])]})
    return found


@dataclass(frozen=True, slots=True)
class ModelCall:
    """The request for the model, and the fields that its messages came from."""

    completion: CompletionRequest
    translation: Translation = field(repr=False)


def model_call(
    request: ResponsesRequest,
    *,
    tenant_id: UUID,
    history: list[JsonObject],
    items: list[JsonObject],
) -> ModelCall:
    """`history` are the items of the responses that it continues, `items` its own, without references.

    Errors name the client's own fields.
    """
    translation = _translate(request, tenant_id, history, items)
    if not any(message["role"] != "system" for message in translation.messages) and not request.body.get(
        "instructions"
    ):
        raise InvalidInput(input=["Send text or a list of items."])
    choice, definitions = chosen_tools(request.tools, request.body.get("tool_choice"))
    body: JsonObject = {
        **passed_on(request.body),
        **translated(request.body),
        "model": request.body.get("model"),
        "messages": translation.messages,
        "stream": request.body.get("stream"),
    }
    if definitions:
        body["tools"] = definitions
        body |= {"tool_choice": choice} if choice is not None else {}
        parallel = request.body.get("parallel_tool_calls")
        body |= {"parallel_tool_calls": parallel} if parallel is not None else {}
    try:
        completion = CompletionRequest.from_body(body)
    except InvalidInput as error:
        raise renamed(error, source_of(translation)) from error
    record = _record(request, items) if request.stores else None
    shown = json.dumps(request.shown, sort_keys=True)
    whole = hashlib.sha256(f"{completion.body_hash}{shown}".encode()).hexdigest()
    truncates = request.body.get("truncation") == "auto"
    completion = replace(completion, body_hash=whole, truncates=truncates, record=record)
    return ModelCall(completion, translation)


def _translate(
    request: ResponsesRequest, tenant_id: UUID, history: list[JsonObject], items: list[JsonObject]
) -> Translation:
    translator = InputTranslator(tenant_id=tenant_id, model=request.model)
    if instructions := request.body.get("instructions"):
        translator.add({"type": "message", "role": "system", "content": instructions}, "instructions")
    for item in history:
        translator.add(item, "previous_response_id")
    for at, item in enumerate(items):
        translator.add(item, f"input[{at}]")
    return translator.done()


def source_of(translation: Translation) -> Callable[[int], str]:
    """Names the client's field of a message."""

    def source(number: int) -> str:
        return translation.sources[number] if number < len(translation.sources) else "input"

    return source


def _record(request: ResponsesRequest, items: list[JsonObject]) -> ResponseRecord:
    """InvalidInput for text that the database cannot store."""
    if not is_storable(items) or not is_storable(request.shown):
        raise InvalidInput(input=["Remove NUL characters, or send store: false."])
    return ResponseRecord(
        request=request.shown,
        input_items=items,
        input_bytes=request.size,
        question=_question(items),
        previous=request.previous,
    )


def _question(items: list[JsonObject]) -> str:
    """The latest message of the user; else the results that the client sent."""
    asked = [plain_text(item.get("content")) for item in items if item.get("role") == "user"]
    results = [plain_text(item.get("output")) for item in items if "output" in item]
    return next((text for text in reversed(asked) if text.strip()), "\n\n".join(results))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def client_error(error: DomainError, translation: Translation | None) -> DomainError:
    """The error with the client's names of the fields; before the translation, it has them already."""
    return renamed(error, source_of(translation)) if translation else error
