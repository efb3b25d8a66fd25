"""A client's request in Anthropic's own format, stored along with its translation.

A request sent to `/v1/messages` has each message and tool twice: in OpenAI's shape, and under
NATIVE as the client wrote it. Anthropic gets the latter, so that nothing is lost; every other provider
gets the former.
"""

from dataclasses import replace
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.providers.anthropic_content import INVALID_IN_IDS, THINKING_FORMAT
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.garbled import a_text, an_object, is_count, objects

NATIVE = "anthropic"  # of a message: `{role, content}`; of a tool: its definition
SYSTEM = ""  # the role of the system prompt, which is not among the messages
ANY_DATA = "AAAA"  # replaces images and PDF files while a request is measured
SET_BY_US = {"model", "messages", "system", "tools", "max_tokens", "stream", "mcp_servers"}
IDS = ("id", "tool_use_id")
LEAST_THINKING = 1024  # tokens


def native_blocks(message: JsonObject) -> list[JsonObject] | None:
    """Copies of the message's blocks; None if it has only OpenAI's shape."""
    native = message.get(NATIVE)
    if native is None:
        return None
    return [_with_valid_ids(block) for block in objects(an_object(native).get("content"))]


def native_role(message: JsonObject) -> str | None:
    """The message's role in Anthropic's API, SYSTEM for the system prompt; None as above."""
    native = message.get(NATIVE)
    return None if native is None else a_text(an_object(native).get("role"))


def native_system(messages: list[JsonObject]) -> list[JsonObject]:
    """The blocks of the system prompt as the client wrote them, with their cache marks."""
    return [
        block
        for message in messages
        if native_role(message) == SYSTEM
        for block in native_blocks(message) or ()
    ]


def with_own_parameters(request: ModelRequest) -> ModelRequest:
    """Without the translation of the client's own parameters; the workspace's defaults stay."""
    if request.native is None:
        return request
    names = request.native.translated
    return replace(request, extra={name: value for name, value in request.extra.items() if name not in names})


def with_native_parameters(body: JsonObject, request: ModelRequest) -> JsonObject:
    """The body with the client's own parameters, which the provider judges; the bounds stay ours."""
    if request.native is None:
        return body
    own = {name: value for name, value in request.native.parameters.items() if name not in SET_BY_US}
    thinking = an_object(own.get("thinking"))
    if thinking.get("type") not in (None, "disabled"):
        body = {name: value for name, value in body.items() if name not in ("temperature", "top_p")}
        own["thinking"] = _within(thinking, body["max_tokens"])
    return {**body, **own}


def for_other_providers(request: ModelRequest, *, takes_late_system: bool = True) -> ModelRequest:
    """The request in OpenAI's shape only. UnsupportedParameter names a tool that only Claude has.

    Instructions within the conversation are the user's, marked as the system's, unless `takes_late_system`.
    """
    if request.native is None:
        return request
    return replace(
        request,
        messages=[
            _plain(message, takes_late_system, is_claude="claude" in request.model.lower())
            for message in request.messages
        ],
        tools=[_translated(tool) for tool in request.tools],
        native=None,
    )


def with_small_blocks(message: JsonObject) -> JsonObject:
    """The message with the data of its images and files replaced by a few bytes."""
    native = message.get(NATIVE)
    if native is None:
        return message
    return {**message, NATIVE: {**native, "content": [_small(block) for block in native["content"]]}}


def _with_valid_ids(block: JsonObject) -> JsonObject:
    """A copy: ids that other models gave their calls may have characters that Anthropic refuses."""
    ids = {name: INVALID_IN_IDS.sub("_", block[name]) for name in IDS if isinstance(block.get(name), str)}
    return {**block, **ids}


def _within(thinking: JsonObject, most: int) -> JsonObject:
    """The budget of thinking has to be below the output bound, which the workspace may have set lower."""
    budget = thinking.get("budget_tokens")
    if is_count(budget) and budget >= most > LEAST_THINKING:
        return {**thinking, "budget_tokens": most - 1}
    return thinking


def _plain(message: JsonObject, takes_late_system: bool, *, is_claude: bool) -> JsonObject:
    """Claude's thinking is sent only to Claude models, which other servers offer too."""
    plain = _without_native(message)
    if not is_claude and NATIVE in message and (details := objects(plain.pop("reasoning_details", None))):
        others = [detail for detail in details if detail.get("format") != THINKING_FORMAT]
        plain |= {"reasoning_details": others} if others else {}
    if takes_late_system or native_role(message) != "system":
        return plain
    return {"role": "user", "content": f"<system-reminder>\n{plain['content']}\n</system-reminder>"}


def _without_native(thing: JsonObject) -> JsonObject:
    return {name: value for name, value in thing.items() if name != NATIVE}


def _translated(tool: JsonObject) -> JsonObject:
    if NATIVE in tool and "function" not in tool:
        kind = a_text(an_object(tool[NATIVE]).get("type"))
        raise UnsupportedParameter("tools", f"Only Claude models have tools of the type {kind}.")
    return _without_native(tool)


def _small(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    small = dict(block)
    if isinstance(block.get("source"), dict):
        small["source"] = _small_source(block["source"])
    if isinstance(block.get("content"), list):
        small["content"] = [_small(inner) for inner in block["content"]]
    return small


def _small_source(source: JsonObject) -> JsonObject:
    match source.get("type"):
        case "base64":
            return {**source, "data": ANY_DATA}
        case "url":
            return {**source, "url": ANY_DATA}
        case "content" if isinstance(source.get("content"), list):
            return {**source, "content": [_small(inner) for inner in source["content"]]}
    return source
