"""OpenAI's chat completions on the wire, for scripted servers.

Protocol: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import json
from typing import Any

from gateway.providers.tests.scripted_http import Answer

DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n".encode()


def usage(**counts: Any) -> bytes:
    return chunk(choices=[], usage=counts)


def reply(*texts: str, finish: str = "stop", prompt: int = 3, written: int = 2) -> Answer:
    """A whole reply as OpenAI streams it: role, texts, finish reason, usage, `[DONE]`."""
    pieces = [chunk({"role": "assistant", "content": "", "refusal": None})]
    pieces += [chunk({"content": text}) for text in texts]
    pieces += [chunk(finish=finish), usage(prompt_tokens=prompt, completion_tokens=written, total_tokens=9)]
    return Answer([*pieces, DONE])


def refused(
    status: int, message: str = "Incorrect API key sk-secret", code: str = "", **headers: str
) -> Answer:
    error = {"error": {"message": message, "type": "some_error", "param": None, "code": code}}
    names = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
    return Answer([json.dumps(error).encode()], status=status, headers=names)
