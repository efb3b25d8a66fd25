"""Translates our OpenAI-style request into the body of Anthropic's Messages API, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages
"""

from typing import Any

from gateway.providers.anthropic_content import (
    Block,
    parts_of,
    result_block,
    text_blocks,
    thinking_blocks,
    tool_use_block,
)
from gateway.providers.anthropic_native import (
    NATIVE,
    SYSTEM,
    native_blocks,
    native_role,
    native_system,
    with_native_parameters,
    with_own_parameters,
)
from gateway.providers.anthropic_parameters import parameters_of
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.garbled import a_text, an_object, objects

SYSTEM_ROLES = {"system", "developer"}
# A conversation has to have a message, and to begin with the user.
OPENING: Block = {"type": "text", "text": "(The conversation begins.)"}


def messages_body(request: ModelRequest) -> JsonObject:
    """InvalidInput for content that cannot be translated, such as audio, and for a parameter that Claude
    does not have."""
    request = with_own_parameters(request)
    turns = _turns([message for message in request.messages if not _is_system(message)])
    body: JsonObject = {
        **parameters_of(request),
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": turns,
        "stream": True,
        **_tools(request, turns),
    }
    if system := native_system(request.messages) or _system(request.messages):
        body["system"] = system
    return with_native_parameters(body, request)


def _is_system(message: JsonObject) -> bool:
    role = native_role(message)
    return message.get("role") in SYSTEM_ROLES if role is None else role == SYSTEM


def _system(messages: list[JsonObject]) -> str | list[Block]:
    """Anthropic has one system prompt; OpenAI's may be several messages, anywhere.

    It is sent as blocks if one of them marks a prefix for the cache.
    """
    blocks = [
        block for message in messages if _is_system(message) for block in text_blocks(_content(message))
    ]
    if any("cache_control" in block for block in blocks):
        return blocks
    return "\n\n".join(block["text"] for block in blocks)


def _turns(messages: list[JsonObject]) -> list[JsonObject]:
    """Consecutive messages of one role become one, in which tool results have to come first."""
    turns: list[JsonObject] = []
    for message in messages:
        role = native_role(message) or ("assistant" if message.get("role") == "assistant" else "user")
        blocks = _blocks(message)
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


def _blocks(message: JsonObject) -> list[Block]:
    if (native := native_blocks(message)) is not None:
        return native
    if message.get("role") == "tool":
        return [result_block(message)]
    uses = [tool_use_block(call) for call in objects(message.get("tool_calls"))]
    thinking = thinking_blocks(message) if message.get("role") == "assistant" else []
    return [*thinking, *parts_of(_content(message)), *uses]


def _content(message: JsonObject) -> Any:
    """The content, with the message's own `cache_control` on its last part."""
    content, cache = message.get("content"), message.get("cache_control")
    if not isinstance(cache, dict) or not content:
        return content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*parts[:-1], {**an_object(parts[-1]), "cache_control": cache}]


def _trim_the_end(turn: JsonObject) -> None:
    """A reply that the model is to continue must not end in white space."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last["type"] == "text":
        last["text"] = last["text"].rstrip()


def _tools(request: ModelRequest, turns: list[JsonObject]) -> JsonObject:
    tools = [_tool(tool) for tool in request.tools]
    if tools:
        choice = _choice(request.extra)
        return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}
    # A conversation in which tools were used has to define them, even if they cannot be used any more.
    used = {b["name"]: None for turn in turns for b in turn["content"] if b["type"] == "tool_use"}
    if not used:
        return {}
    unusable = [_tool({"function": {"name": name}}) for name in used]
    return {"tools": unusable, "tool_choice": {"type": "none"}}


def _tool(tool: JsonObject) -> JsonObject:
    """OpenAI's function, its custom tool as one that takes a text, or a tool of Anthropic's own."""
    if isinstance(native := tool.get(NATIVE), dict):
        return native
    if isinstance(custom := tool.get("custom"), dict):
        text = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        function = {"name": custom.get("name"), "description": custom.get("description"), "parameters": text}
    elif isinstance(tool.get("function"), dict):
        function = an_object(tool.get("function"))
    else:
        return tool
    schema = {"type": "object", **an_object(function.get("parameters"))}
    translated: JsonObject = {"name": a_text(function.get("name")), "input_schema": schema}
    if description := a_text(function.get("description")):
        translated["description"] = description
    if function.get("strict") is True:
        translated["strict"] = True
    if cache := an_object(tool.get("cache_control")) or an_object(function.get("cache_control")):
        translated["cache_control"] = cache
    return translated


def _choice(extra: JsonObject) -> JsonObject:
    """OpenAI's `tool_choice` and `parallel_tool_calls` in one; empty if both have their default."""
    wanted = extra.get("tool_choice")
    choice: JsonObject = {}
    if isinstance(wanted, str):
        choice = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}.get(
            wanted, {}
        )
    elif name := _chosen_tool(an_object(wanted)):
        choice = {"type": "tool", "name": name}
    if extra.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _chosen_tool(wanted: JsonObject) -> str:
    named = an_object(wanted.get("function")) or an_object(wanted.get("custom")) or wanted
    return a_text(named.get("name"))
