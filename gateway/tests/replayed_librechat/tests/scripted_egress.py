"""An egress for these tests: records requests and answers like the recordings' model."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.tests.replayed_librechat.answers import Receive, Send, answer_json, client_leaves, read

DIES = object()


@dataclass
class Reply:
    """One model call's reply: deltas, raw lines, events to wait for, markers."""

    steps: list[Any] = field(default_factory=list)
    status: int = 200
    message: str = ""
    pause: float = 0  # seconds after each step


@dataclass
class Received:
    headers: dict[str, str]
    body: dict[str, Any]


class ScriptedEgress:
    """Answers from `replies`, oldest first; without one as the user's text requests."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Received] = []
        self.hangups = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        assert (scope["method"], scope["path"]) == ("POST", "/v1/chat/completions")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append(Received(headers, await read(receive)))
        reply = self.replies.pop(0) if self.replies else as_recorded(self.requests[-1].body)
        if reply.status != 200:
            await answer_json(send, reply.status, {"error": {"message": reply.message}})
            return
        sending = asyncio.ensure_future(self._stream(reply, send))
        leaving = asyncio.ensure_future(client_leaves(receive))
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if sending.done():
            sending.result()
        else:
            sending.cancel()
            self.hangups += 1

    async def _stream(self, reply: Reply, send: Send) -> None:
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        said = f"chatcmpl-{len(self.requests)}"
        for step in reply.steps:
            if step is DIES:
                raise ConnectionError
            if isinstance(step, threading.Event):
                while not step.is_set():
                    await asyncio.sleep(0.005)
            else:
                line = step if isinstance(step, str) else f"data: {json.dumps(_chunk(said, step))}"
                await send({"type": "http.response.body", "body": f"{line}\n\n".encode(), "more_body": True})
            await asyncio.sleep(reply.pause)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def text(*words: str) -> list[dict[str, Any]]:
    return [{"content": word} for word in words]


def usage(given: int, written: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": given, "completion_tokens": written}}


def tool_call(name: str, arguments: str, call_id: str = "call_1", index: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


def more_arguments(arguments: str, index: int = 0) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def as_recorded(body: dict[str, Any]) -> Reply:
    """The reply of the recordings' scripted model."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return Reply([*text("The", " tool", " answered:", f" {last['content']}"), usage(11, 4)])
    match last["content"].split(" ", 3):
        case ["slow", count, milliseconds]:
            return Reply(text(*_words(int(count))), pause=int(milliseconds) / 10_000)
        case ["die", "after", count]:
            return Reply([*text(*_words(int(count))), DIES])
        case ["status", status]:
            return Reply(status=int(status), message=f"scripted failure {status}")
        case ["use", "tool", name, arguments]:
            offered = [tool["function"]["name"] for tool in body["tools"]]
            meant = next(tool for tool in offered if tool.startswith(f"{name}_mcp_"))
            return Reply([tool_call(meant, arguments), usage(10, 1)])
    said = last["content"].split(" ")
    words = [*(f"{word} " for word in said[:-1]), f"{said[-1]}."]
    heard = sum(len(str(message["content"]).split()) for message in body["messages"])
    return Reply([*text("You ", "said:", " ", *words), usage(heard + 3, len(said) + 2)])


def _words(count: int) -> Iterator[str]:
    return (f"w{number} " for number in range(count))


def _chunk(said: str, step: dict[str, Any]) -> dict[str, Any]:
    if "usage" in step:
        return {"id": said, "choices": [], **step}
    return {"id": said, "choices": [{"index": 0, "delta": step, "finish_reason": None}]}
