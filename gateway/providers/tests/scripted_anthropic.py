"""Anthropic's Messages API on the wire, for scripted servers.

Protocol: https://docs.anthropic.com/en/api/messages-streaming
"""

import json
from typing import Any

from gateway.providers.tests.scripted_http import Answer


def frame(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def start(**usage: int) -> bytes:
    counts = {"input_tokens": 25, "output_tokens": 1, **usage}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": counts}
    return frame("message_start", message=message)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    """One content block from its start to its stop."""
    pieces = [frame("content_block_start", index=index, content_block=content)]
    pieces += [frame("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*pieces, frame("content_block_stop", index=index)])


def text_block(index: int, *texts: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": t} for t in texts))


def tool_block(index: int, call_id: str, name: str, *pieces: str) -> bytes:
    content = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    return block(index, content, *({"type": "input_json_delta", "partial_json": p} for p in pieces))


def end(reason: str = "end_turn", written: int = 15, **usage: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None}
    ending = frame("message_delta", delta=delta, usage={"output_tokens": written, **usage})
    return ending + frame("message_stop")


def error(kind: str) -> bytes:
    return frame("error", error={"type": kind, "message": "Overloaded, says sk-secret"})


def reply(*texts: str) -> Answer:
    return Answer([start(), frame("ping"), text_block(0, *texts), end()])


def refused(status: int, kind: str, message: str = "invalid x-api-key sk-secret", **headers: str) -> Answer:
    data = {"type": "error", "error": {"type": kind, "message": message}}
    names = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
    return Answer([json.dumps(data).encode()], status=status, headers=names)
