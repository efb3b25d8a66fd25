"""Translates our OpenAI-style request into the body of Anthropic's Messages API, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages. Parameters that it does not have are left out.
"""

from typing import Any

from gateway.providers.anthropic_content import Block, parts_of, result_block, text_blocks, tool_use_block
from gateway.providers.anthropic_native import (
    NATIVE,
    SYSTEM,
    native_blocks,
    native_role,
    native_system,
    with_native_parameters,
    with_own_parameters,
)
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.garbled import a_text, an_object, objects

SYSTEM_ROLES = {"system", "developer"}
# A conversation has to have a message, and to begin with the user.
OPENING: Block = {"type": "text", "text": "(The conversation begins.)"}


def messages_body(request: ModelRequest, *, provider: str) -> JsonObject:
    """ProviderError for content that cannot be translated, such as audio."""
    request = with_own_parameters(request)
    turns = _turns([message for message in request.messages if not _is_system(message)], provider)
    body: JsonObject = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": turns,
        "stream": True,
        **_sampling(request),
        **_tools(request, turns),
    }
    if system := native_system(request.messages) or _system(request.messages, provider):
        body["system"] = system
    if stops := _stop_sequences(request.extra.get("stop")):
        body["stop_sequences"] = stops
    return with_native_parameters(body, request)


def _is_system(message: JsonObject) -> bool:
    role = native_role(message)
    return message.get("role") in SYSTEM_ROLES if role is None else role == SYSTEM


def _system(messages: list[JsonObject], provider: str) -> str:
    """Anthropic has one system prompt; OpenAI's may be several messages, anywhere."""
    contents = [message.get("content") for message in messages if _is_system(message)]
    return "\n\n".join(block["text"] for content in contents for block in text_blocks(content, provider))


def _turns(messages: list[JsonObject], provider: str) -> list[JsonObject]:
    """Consecutive messages of one role become one, in which tool results have to come first."""
    turns: list[JsonObject] = []
    for message in messages:
        role = native_role(message) or ("assistant" if message.get("role") == "assistant" else "user")
        blocks = _blocks(message, provider)
        if blocks and turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [OPENING]})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    _trim_the_end(turns[-1])
    return turns


def _blocks(message: JsonObject, provider: str) -> list[Block]:
    if (native := native_blocks(message)) is not None:
        return native
    if message.get("role") == "tool":
        return [result_block(message, provider)]
    uses = [tool_use_block(call) for call in objects(message.get("tool_calls"))]
    return [*parts_of(message.get("content"), provider), *uses]


def _trim_the_end(turn: JsonObject) -> None:
    """A reply that the model is to continue must not end in white space."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last["type"] == "text":
        last["text"] = last["text"].rstrip()


def _sampling(request: ModelRequest) -> JsonObject:
    """The temperature is at most 1. Newer models refuse it together with `top_p`, so only one is sent."""
    if request.temperature is not None:
        return {"temperature": min(max(request.temperature, 0.0), 1.0)}
    top_p = request.extra.get("top_p")
    return {"top_p": top_p} if top_p is not None else {}


def _stop_sequences(stop: Any) -> list[str]:
    """Sequences of only white space are refused, so they are left out."""
    wanted = stop if isinstance(stop, list) else [stop]
    return [text for text in wanted if isinstance(text, str) and text.strip()]


def _tools(request: ModelRequest, turns: list[JsonObject]) -> JsonObject:
    tools = [_definition(tool) for tool in request.tools if tool.get("function") or NATIVE in tool]
    if tools:
        choice = _choice(request.extra)
        return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}
    # A conversation in which tools were used has to define them, even if they cannot be used any more.
    used = {b["name"]: None for turn in turns for b in turn["content"] if b["type"] == "tool_use"}
    if not used:
        return {}
    return {"tools": [_tool({"name": name}) for name in used], "tool_choice": {"type": "none"}}


def _definition(tool: JsonObject) -> JsonObject:
    native = an_object(tool.get(NATIVE))
    return native or _tool(an_object(tool.get("function")))


def _tool(function: JsonObject) -> JsonObject:
    schema = {"type": "object", **an_object(function.get("parameters"))}
    tool: JsonObject = {"name": a_text(function.get("name")), "input_schema": schema}
    if description := a_text(function.get("description")):
        tool["description"] = description
    return tool


def _choice(extra: JsonObject) -> JsonObject:
    """OpenAI's `tool_choice` and `parallel_tool_calls` in one; empty if both have their default."""
    wanted = extra.get("tool_choice")
    choice: JsonObject = {}
    if isinstance(wanted, str):
        choice = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}.get(
            wanted, {}
        )
    elif name := a_text(an_object(an_object(wanted).get("function")).get("name")):
        choice = {"type": "tool", "name": name}
    if extra.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice
