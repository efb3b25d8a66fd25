"""Drives Debian's Chromium in a separate thread, since Playwright's loop conflicts with Django's."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

T = TypeVar("T")
PROGRAM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Chromium:
    """`run(work)` calls `work(browser)` in Playwright's thread and returns what it returns."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._browser: Browser = self._thread.submit(self._launch).result()

    def _launch(self) -> Browser:
        self._playwright = sync_playwright().start()
        return self._playwright.chromium.launch(executable_path=PROGRAM, args=QUIET)

    def run(self, work: Callable[[Browser], T]) -> T:
        return self._thread.submit(work, self._browser).result()

    def close(self) -> None:
        self._thread.submit(self._browser.close).result()
        self._thread.submit(self._playwright.stop).result()
        self._thread.shutdown()


@contextmanager
def page_of(browser: Browser, *, refused: str = "", **options: Any) -> Iterator[Page]:
    """A page that fails the test on any error in its console.

    `refused` is a part of URLs that may fail.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    faults: list[str] = []

    def listen(line: ConsoleMessage) -> None:
        is_expected = refused and refused in line.location["url"]
        if line.type == "error" and not is_expected:
            faults.append(line.text)

    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", listen)
    try:
        yield page
    finally:
        context.close()
    assert faults == [], faults
