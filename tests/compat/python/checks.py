"""Named checks of one client. `run()` runs them and prints a JSON line for each, `{check, ok, detail}`."""

import asyncio
import inspect
import json
import os
import time
import traceback
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

URL = os.environ["SWITCHYARD_URL"]
BASE_URL = f"{URL}/v1"
KEY = os.environ["SWITCHYARD_KEY"]
SPENT_KEY = os.environ["SPENT_KEY"]
CONTROL_URL = os.environ["CONTROL_URL"]

RETRY_AFTER = 2.0  # seconds, as the provider sends them
CHECK_SECONDS = 120

Work = Callable[[], Any]
_checks: list[tuple[str, Work]] = []


def check(name: str, work: Work | None = None) -> Any:
    """Registers `work`, or the decorated function; it may be async.

    `name` is an API and a situation, such as `chat stream`.
    """

    def register(function: Work) -> Work:
        _checks.append((name, function))
        return function

    return register if work is None else register(work)


def run() -> None:
    for name, work in _checks:
        _control("reset", post=True)
        try:
            _perform(work)
            report = {"check": name, "ok": True, "detail": ""}
        except Exception:  # any error of the client is the result of the check
            report = {"check": name, "ok": False, "detail": traceback.format_exc(limit=-4)[-3000:]}
        print(json.dumps(report), flush=True)


def _perform(work: Work) -> None:
    result = work()
    if inspect.isawaitable(result):
        asyncio.run(_in_time(result))


async def _in_time(result: Awaitable[Any]) -> None:
    async with asyncio.timeout(CHECK_SECONDS):
        await result


def requests_for(model: str) -> list[dict[str, Any]]:
    """Requests to this upstream model since the check began: `{route, headers, body}`."""
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
    """Yields a list that gets the error; fails if no error of this kind is raised."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"nothing raised {kind.__name__}"


@contextmanager
def waits() -> Iterator[None]:
    """The work has to last as long as the provider's Retry-After asks."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    assert seconds > RETRY_AFTER - 0.1, f"it waited {seconds:.1f} s"
