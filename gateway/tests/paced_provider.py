"""A provider for fault tests that streams words at the pace in the question, and counts correctly."""

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.tests.scripted_provider import ScriptedProvider, _data, _disconnected, _prompt, count


def question(name: str, words: int, seconds: float) -> str:
    """Requests this many words, `seconds` apart, with `name` in each of them."""
    return f"paced {name} {words} {seconds}"


def answer_to(name: str, words: int) -> str:
    return "".join(f"{name}-{number} " for number in range(words))


@dataclass
class Call:
    """One call in the provider's own tokens; `is_done` after its end."""

    name: str
    prompt: int
    written: int = 0
    is_done: bool = False


class PacedProvider(ScriptedProvider):
    """Serves any number of concurrent calls, each at its own pace."""

    def reset(self) -> None:
        super().reset()
        self.calls: list[Call] = []

    async def _complete(self, body: dict[str, Any], receive: Any, send: Any) -> None:
        work = asyncio.ensure_future(self._write(body, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)

    async def _write(self, body: dict[str, Any], send: Any) -> None:
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
