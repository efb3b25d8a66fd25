"""A scripted model behind OpenAI's chat completions.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.compat.providers.http import JsonObject
from tests.compat.providers.openai_requests import check, error
from tests.compat.providers.script import OVERFLOW, Conversation, Reply, ToolUse, reply_to, tokens_in

CACHED_TOKENS = 2


def answer(body: JsonObject) -> JsonObject | Iterator[str]:
    """The whole answer, or the frames of a stream. Raises Refused."""
    check(body)
    if body["model"] == OVERFLOW:
        message = (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."
        )
        raise error(400, message, param="messages", code="context_length_exceeded")
    reply = reply_to(_conversation(body))
    return _frames(body, reply) if body.get("stream") else _whole(body, reply)


def _conversation(body: JsonObject) -> Conversation:
    last = body["messages"][-1]
    parts = last.get("content") or ""
    parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
    choice = body.get("tool_choice")
    wanted = body.get("response_format") or {}
    return Conversation(
        user_text=" ".join(p["text"] for p in parts if p["type"] == "text") if last["role"] == "user" else "",
        images=sum(part["type"] == "image_url" for part in parts),
        has_tool_result=last["role"] == "tool",
        tools={
            tool["function"]["name"]: tool["function"].get("parameters") or {}
            for tool in body.get("tools") or ()
        },
        tool_choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        schema=wanted.get("json_schema", {}).get("schema"),
    )


def _usage(body: JsonObject, reply: Reply) -> JsonObject:
    asked = tokens_in(body["messages"]) + tokens_in(body.get("tools") or "")
    written = tokens_in("".join(reply) if isinstance(reply, tuple) else [reply.name, reply.arguments])
    return {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
        "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _call(use: ToolUse) -> JsonObject:
    return {
        "id": "call_7",
        "type": "function",
        "function": {"name": use.name, "arguments": json.dumps(use.arguments)},
    }


def _logprobs(text: str) -> JsonObject:
    return {
        "content": [{"token": text, "logprob": -0.1, "bytes": list(text.encode()), "top_logprobs": []}],
        "refusal": None,
    }


def _whole(body: JsonObject, reply: Reply) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": None, "refusal": None}
    if isinstance(reply, ToolUse):
        message["tool_calls"] = [_call(reply)]
    else:
        message["content"] = "".join(reply)
    finish = "tool_calls" if isinstance(reply, ToolUse) else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": _usage(body, reply),
    }


def _frames(body: JsonObject, reply: Reply) -> Iterator[str]:
    def frame(delta: JsonObject, finish: str | None = None, logprobs: JsonObject | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return _line(body, [choice])

    if isinstance(reply, ToolUse):
        call = _call(reply)
        arguments = call["function"].pop("arguments")
        yield frame(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}],
            }
        )
        for piece in (arguments[:4], arguments[4:]):
            yield frame({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        yield frame({"role": "assistant", "content": "", "refusal": None})
        for piece in reply:
            yield frame({"content": piece}, logprobs=_logprobs(piece) if body.get("logprobs") else None)
    yield frame({}, "tool_calls" if isinstance(reply, ToolUse) else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _line(body, [], usage=_usage(body, reply))
    yield "data: [DONE]\n\n"


def _line(body: JsonObject, choices: list[JsonObject], **more: Any) -> str:
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": body["model"],
    }
    return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n"
