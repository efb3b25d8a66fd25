"""Named checks of one client: `run()` runs them all and prints a JSON line each, `{check, ok, detail}`."""

import asyncio
import base64
import inspect
import json
import os
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

URL = os.environ["SWITCHYARD_URL"]
BASE_URL = f"{URL}/v1"
KEY = os.environ["SWITCHYARD_KEY"]
SPENT_KEY = os.environ["SPENT_KEY"]
CONTROL_URL = os.environ["CONTROL_URL"]

GREETING = "Hello there."
WEATHER = "It is 21 degrees in Paris."
QUESTION = "What is the weather in Paris?"
LONG_TEXT = "The quick brown fox jumps over the lazy dog. " * 600  # too long for the local model, too
# A PNG of one red pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PIXEL_URL = f"data:image/png;base64,{PIXEL}"
RETRY_AFTER = 2.0  # seconds, as the provider sends them
CHECK_SECONDS = 120

_checks: list[tuple[str, Callable[[], Any]]] = []


def check(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Registers a check, sync or async; `name` is an API and a situation, such as `chat stream`."""

    def register(function: Callable[[], Any]) -> Callable[[], Any]:
        _checks.append((name, function))
        return function

    return register


def order(*calls: tuple[str, dict[str, Any]]) -> str:
    """A prompt for which the scripted model calls the first of these tools that it is offered."""
    return "CALL:" + base64.b64encode(json.dumps(calls).encode()).decode()


def run() -> None:
    for name, function in _checks:
        _control("reset", post=True)
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(_in_time(function))
            else:
                function()
            report = {"check": name, "ok": True, "detail": ""}
        except Exception:  # whatever a client raises is what the check found
            report = {"check": name, "ok": False, "detail": traceback.format_exc(limit=-4)[-3000:]}
        print(json.dumps(report), flush=True)


async def _in_time(function: Callable[[], Any]) -> None:
    async with asyncio.timeout(CHECK_SECONDS):
        await function()


def requests_for(model: str) -> list[dict[str, Any]]:
    """What reached the provider for this upstream model since the check began: `{route, headers, body}`."""
    found: list[dict[str, Any]] = _control(f"requests?model={model}")
    return found


def _control(path: str, *, post: bool = False) -> Any:
    request = urllib.request.Request(f"{CONTROL_URL}/{path}", method="POST" if post else "GET")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def equal(found: Any, expected: Any) -> None:
    assert found == expected, f"{found!r}, expected {expected!r}"


def contains(text: Any, *words: str) -> None:
    for word in words:
        assert word.lower() in str(text).lower(), f"{word!r} is not in {text!r}"


@contextmanager
def refused(kind: type[BaseException]) -> Iterator[list[Any]]:
    """Collects the one error of exactly this kind."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"nothing raised {kind.__name__}"


@contextmanager
def waits() -> Iterator[None]:
    """The work has to last as long as the provider's Retry-After says."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    assert seconds > RETRY_AFTER - 0.1, f"it waited {seconds:.1f} s"
