"""A scripted model behind Anthropic's Messages API.

Protocol: https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.compat.providers.anthropic_requests import (
    SIGNATURE,
    as_blocks,
    check,
    check_counted,
    error,
    thinks,
)
from tests.compat.providers.http import Call, JsonObject
from tests.compat.providers.script import OVERFLOW, THOUGHT, Conversation, Reply, ToolUse, reply_to, tokens_in

CACHED_TOKENS = 12  # reported if the request marks something for the cache
Block = tuple[JsonObject, list[JsonObject]]  # its start and its deltas


def count(body: JsonObject) -> JsonObject:
    check_counted(body)
    return {"input_tokens": _input_tokens(body)}


def answer(call: Call) -> JsonObject | Iterator[str]:
    """The whole answer, or the frames of a stream. Raises Refused."""
    body = call.body
    check(call)
    if body["model"] == OVERFLOW:
        raise error(400, "prompt is too long: 210000 tokens > 200000 maximum")
    reply = reply_to(_conversation(body))
    blocks = _blocks(body, reply)
    return _frames(body, blocks) if body.get("stream") else _whole(body, blocks)


def _conversation(body: JsonObject) -> Conversation:
    blocks = as_blocks(body["messages"][-1]["content"])
    choice = body.get("tool_choice") or {}
    kinds = {"auto": "auto", "any": "required", "none": "none", "tool": choice.get("name")}
    wanted = (body.get("output_config") or {}).get("format") or {}
    return Conversation(
        user_text=" ".join(block["text"] for block in blocks if block["type"] == "text"),
        images=sum(block["type"] == "image" for block in blocks),
        has_tool_result=any(block["type"] == "tool_result" for block in blocks),
        tools={tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()},
        tool_choice=kinds.get(choice.get("type", "auto")),
        schema=wanted.get("schema"),
    )


def _input_tokens(body: JsonObject) -> int:
    return tokens_in([body.get("system"), body["messages"], body.get("tools")])


def _usage(body: JsonObject, written: int) -> JsonObject:
    cached = CACHED_TOKENS if '"cache_control"' in json.dumps(body) else 0
    return {
        "input_tokens": _input_tokens(body),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": written,
    }


def _blocks(body: JsonObject, reply: Reply) -> list[Block]:
    blocks: list[Block] = []
    if thinks(body):
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in THOUGHT]
        signed = {"type": "signature_delta", "signature": SIGNATURE}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]))
    if isinstance(reply, ToolUse):
        text = json.dumps(reply.arguments)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:4], text[4:])]
        blocks.append(({"type": "tool_use", "id": "toolu_7", "name": reply.name, "input": {}}, deltas))
    else:
        deltas = [{"type": "text_delta", "text": piece} for piece in reply]
        blocks.append(({"type": "text", "text": ""}, deltas))
    return blocks


def _head(body: JsonObject, content: list[JsonObject], stop: str | None, written: int) -> JsonObject:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _usage(body, written),
    }


def _stop_reason(blocks: list[Block]) -> str:
    return "tool_use" if blocks[-1][0]["type"] == "tool_use" else "end_turn"


def _whole(body: JsonObject, blocks: list[Block]) -> JsonObject:
    content = []
    for start, deltas in blocks:
        block = dict(start)
        for delta in deltas:
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] += delta[name]
        if block["type"] == "tool_use":
            block["input"] = json.loads("".join(delta["partial_json"] for delta in deltas))
        content.append(block)
    return _head(body, content, _stop_reason(blocks), tokens_in(content))


def _frames(body: JsonObject, blocks: list[Block]) -> Iterator[str]:
    yield _event("message_start", message=_head(body, [], None, 1))
    yield _event("ping")
    written = 0
    for index, (start, deltas) in enumerate(blocks):
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            written += tokens_in(
                delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            )
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": _stop_reason(blocks), "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage={"output_tokens": written})
    yield _event("message_stop")


def _event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"
