"""A provider for fault tests: streams words at the pace that the question asks for, and counts truly."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from gateway.tests.scripted_provider import _answer, _data, _disconnected, _prompt, _read, count


def question(name: str, words: int, seconds: float) -> str:
    """Asks for so many words, `seconds` apart; `name` is in each of them."""
    return f"paced {name} {words} {seconds}"


def answer_to(name: str, words: int) -> str:
    return "".join(f"{name}-{number} " for number in range(words))


@dataclass
class Call:
    """What the provider did for one call, in its own tokens; `is_done` once it has come to its end."""

    name: str
    prompt: int
    written: int = 0
    is_done: bool = False


class PacedProvider:
    """An ASGI application that serves any number of calls at the same time."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = json.loads(await _read(receive) or b"{}")
        match scope["path"]:
            case "/v1/models":
                await _answer(send, 200, {"data": []})
            case "/apply-template":
                await _answer(send, 200, {"prompt": _prompt(body["messages"])})
            case "/tokenize":
                await _answer(send, 200, {"tokens": list(range(count(body["content"])))})
            case "/v1/chat/completions":
                work = asyncio.ensure_future(self._complete(body, send))
                gone = asyncio.ensure_future(_disconnected(receive))
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                for task in (work, gone):
                    task.cancel()
                await asyncio.gather(work, gone, return_exceptions=True)

    async def _complete(self, body: dict[str, Any], send: Any) -> None:
        _, name, words, seconds = body["messages"][-1]["content"].split()
        call = Call(name, count(_prompt(body["messages"])))
        self.calls.append(call)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(int(words)):
            await _data(send, {"choices": [{"index": 0, "delta": {"content": f"{name}-{number} "}}]})
            call.written += 1
            await asyncio.sleep(float(seconds))
        await _data(send, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": call.prompt, "completion_tokens": call.written}
        await _data(send, {"choices": [], "usage": usage})
        call.is_done = True
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
