"""A scripted provider for tests that speaks the local model's wire format over a real socket."""

import asyncio
import json
import threading
from array import array
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
Step = str | threading.Event
KEY = "sk-secret-0123456789abcdef"  # like the key that a careless provider repeats


class Death(Exception):
    """Ends the connection in the middle of a reply."""


@dataclass
class Script:
    """The next model calls: texts are streamed, events awaited."""

    steps: list[Step] = field(default_factory=lambda: ["Hello", " there", "."])
    before: threading.Event | None = None  # awaited before the status
    status: int = 200
    refusal: Any = field(default_factory=lambda: {"error": {"message": f"the provider's own words: {KEY}"}})
    retry_after: str = ""
    dies: bool = False
    finish_reason: str = "stop"
    usage: tuple[int, int] | None = (0, 0)  # (0, 0): count for real; None: report nothing
    usage_details: dict[str, Any] = field(default_factory=dict)  # fields of the usage besides its counts
    deltas: list[dict[str, Any]] = field(default_factory=list)  # streamed after the texts
    error: Any = None  # reported instead of the rest, in a frame of its own
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    # Tool calls by the tool's own name; it is replaced by the name under which the tool is offered.
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    after_done: threading.Event | None = None  # the connection stays open until it is set, and then dies


class ScriptedProvider:
    """An ASGI application that records request bodies and counts the readers that left."""

    poll_seconds = 0.005  # while a reply waits for an event

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.script = Script()
        self.scripts: list[Script] = []  # one per call; then `script`
        self.served: list[Script] = []
        self.reported: list[tuple[int, int]] = []  # the usage of each call, as it was reported
        self.requests: list[dict[str, Any]] = []
        self.key = ""  # if set, any other key is refused
        self.unknown: set[str] = set()  # unknown models
        # Answers to requests other than chats, by path, in place of the usual ones.
        self.answers: dict[str, tuple[int, Any]] = {}
        self.waits: threading.Event | None = None  # before such an answer
        self.hangups = threading.Semaphore(0)

    def let_go(self) -> None:
        """Lets every waiting reply continue."""
        for script in (*self.served, self.script):
            for step in (*script.steps, script.before):
                if isinstance(step, threading.Event):
                    step.set()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = json.loads(await _read(receive) or b"{}")
        if self.key and dict(scope["headers"]).get(b"authorization") != f"Bearer {self.key}".encode():
            await _answer(send, 401, {"error": {"message": f"no such key, {self.key}"}})
            return
        match scope["path"]:
            case "/v1/models":
                await _answer(send, 200, {"data": []})
            case "/apply-template":
                await _answer(send, 200, {"prompt": _prompt(body["messages"])})
            case "/tokenize":
                await _answer(send, 200, {"tokens": list(range(count(body["content"])))})
            case "/v1/chat/completions":
                await self._complete(body, receive, send)
            case "/v1/embeddings" | "/v1/moderations" as path:
                await self._answer_whole(path, body, send)

    async def _complete(self, body: dict[str, Any], receive: Any, send: Send) -> None:
        self.requests.append(body)
        if body["model"] in self.unknown:
            await _answer(send, 404, {"error": {"message": "the provider's own words"}})
            return
        script = self.scripts.pop(0) if self.scripts else self.script
        self.served.append(script)
        while script.before is not None and not script.before.is_set():
            await asyncio.sleep(self.poll_seconds)
        if script.status != 200:
            await _answer(send, script.status, script.refusal, retry_after=script.retry_after)
            return
        work = asyncio.ensure_future(self._stream(script, body, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not work.done():
            work.cancel()
            self.hangups.release()
        else:
            work.result()

    async def _answer_whole(self, path: str, body: dict[str, Any], send: Send) -> None:
        self.requests.append(body)
        while self.waits is not None and not self.waits.is_set():
            await asyncio.sleep(self.poll_seconds)
        usual = (200, embedded(body) if path == "/v1/embeddings" else moderated(body))
        status, data = self.answers.get(path, usual)
        await _answer(send, status, data)

    async def _stream(self, script: Script, body: dict[str, Any], send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for step in script.steps:
            if isinstance(step, str):
                await _data(send, {"choices": [{"index": 0, "delta": {"content": step}}]})
            else:
                while not step.is_set():  # a threading.Event has no awaitable side
                    await asyncio.sleep(self.poll_seconds)
        if script.dies:
            raise Death
        for delta in script.deltas:
            await _data(send, {"choices": [{"index": 0, "delta": delta}]})
        if script.error is not None:
            await _data(send, {"error": script.error})
            await send({"type": "http.response.body", "body": b""})
            return
        calls = [*script.tool_calls, *_with_offered_names(script.calls, body)]
        if calls:
            await _data(send, {"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})
        await _data(send, {"choices": [{"index": 0, "delta": {}, "finish_reason": script.finish_reason}]})
        if script.usage is not None:
            written = sum(count(step) for step in script.steps if isinstance(step, str))
            written += sum(count(_call_text(call)) for call in calls)
            usage = script.usage if any(script.usage) else (count(_prompt(body["messages"])), written)
            self.reported.append(usage)
            counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
            await _data(send, {"choices": [], "usage": {**counts, **script.usage_details}})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        if script.after_done is not None:
            while not script.after_done.is_set():
                await asyncio.sleep(0.005)
            raise Death
        await send({"type": "http.response.body", "body": b""})


def embedded(body: dict[str, Any]) -> dict[str, Any]:
    """For each input a vector whose first number is the input's length."""
    vectors = [array("f", [len(one), 0.5, -1]) for one in body["input"]]
    is_base64 = body.get("encoding_format") == "base64"
    data = [
        {"index": at, "embedding": b64encode(one.tobytes()).decode() if is_base64 else one.tolist()}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(count(one) if isinstance(one, str) else len(one) for one in body["input"])
    return {"object": "list", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def moderated(body: dict[str, Any]) -> dict[str, Any]:
    """As OpenAI answers: no usage."""
    listed = body["input"] if isinstance(body["input"], list) else [body["input"]]
    expected = 1 if isinstance(listed[0], dict) else len(listed)
    return {"id": "modr-1", "results": [{"flagged": False, "categories": {"hate": False}}] * expected}


def count(text: str) -> int:
    """This model's tokenizer: one token per word."""
    return max(1, len(text.split()))


def _with_offered_names(
    calls: list[tuple[str, dict[str, Any]]], body: dict[str, Any]
) -> list[dict[str, Any]]:
    """An engine appends the server's name to the tool's; a tool that is not offered has its own name."""
    offered = {tool["function"]["name"].partition("_mcp_")[0]: tool for tool in body.get("tools", ())}
    return [
        {
            "index": at,
            "id": f"call_{at}",
            "function": {
                "name": offered[name]["function"]["name"] if name in offered else name,
                "arguments": json.dumps(arguments),
            },
        }
        for at, (name, arguments) in enumerate(calls)
    ]


def _call_text(call: dict[str, Any]) -> str:
    function = call.get("function", {})
    return f"{function.get('name', '')}{function.get('arguments', '')}"


def _prompt(messages: list[dict[str, Any]]) -> str:
    return " ".join(f"{message['role']} {message['content']}" for message in messages)


async def _data(send: Send, chunk: dict[str, Any]) -> None:
    line = f"data: {json.dumps(chunk)}\n\n".encode()
    await send({"type": "http.response.body", "body": line, "more_body": True})


async def _answer(send: Send, status: int, data: Any, *, retry_after: str = "") -> None:
    headers = [(b"content-type", b"application/json")]
    if retry_after:
        headers.append((b"retry-after", retry_after.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})


async def _read(receive: Any) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
