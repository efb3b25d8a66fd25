"""OpenAI's own package uses the Responses API; each event and object is one of its models.

The package builds its objects without checking them, so each is checked here.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from gateway.providers.tests.scripted_openai import DONE, chunk, usage

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
PATCH: dict[str, Any] = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: PATCH"},
}
AGENTS: dict[str, Any] = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents",
    "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object", "properties": {}}}],
}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}


def deltas(*pieces: dict[str, Any], finish: str = "stop") -> list[bytes]:
    counts = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    details = {
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    return [*(chunk(piece) for piece in pieces), chunk(finish=finish), usage(**counts, **details), DONE]


def stream(
    client: openai.OpenAI, *, on_event: Callable[[Any], None] | None = None, **request: Any
) -> list[Any]:
    """The events of a stream, each checked against the package's models, in order and numbered."""
    headers, lines = {"Authorization": f"Bearer {client.api_key}"}, []
    with httpx.stream(
        "POST", f"{client.base_url}responses", json={**request, "stream": True}, headers=headers, timeout=30
    ) as answer:
        for line in answer.iter_lines():
            if line:
                lines.append(line)
            if on_event and line.startswith("data: {"):
                on_event(json.loads(line.removeprefix("data: ")))
    assert answer.status_code == 200, lines
    assert lines[-1] == "data: [DONE]"
    found = [json.loads(line.removeprefix("data: ")) for line in lines[:-1] if line.startswith("data: ")]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names == [each["type"] for each in found]
    assert [each["sequence_number"] for each in found] == list(range(len(found)))
    events = [EVENT.validate_python(each) for each in found]
    for event in events:
        no_extras(event, where=event.type)
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    return events


def no_extras(model: BaseModel, where: str) -> None:
    """A misspelt field would be accepted as an unknown one."""
    allowed = {"cost", "status", "name", "store", "bytes"}  # ours, or not yet in the package
    assert set(model.__pydantic_extra__ or ()) <= allowed, where
    for field, value in model:
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, BaseModel):
                no_extras(inner, f"{where}.{field}")


def rebuilt(events: list[Any]) -> list[dict[str, Any]]:
    """The output as a client assembles it from the events."""
    items: dict[int, Any] = {}
    added = [event for event in events if event.type == "response.output_item.added"]
    assert [event.output_index for event in added] == list(range(len(added)))
    for event in events:
        if event.type == "response.output_item.done":
            items[event.output_index] = event.item.to_dict()
    return [items[index] for index in sorted(items)]


def checked(response: Response) -> Response:
    return Response.model_validate(response.to_dict())
