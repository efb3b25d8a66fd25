"""The page resumes by itself when its server restarts, in a real browser."""

import threading
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from accounts.tests.cast import Cast
from config.asgi import application
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.events import STREAM, body, parse
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from tests.journeys.test_first_message import TIMEOUT, last_reply

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]


def test_a_page_resumes_its_reply_when_its_server_restarts(
    client_of: Any, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    at_home: httpx.Client = client_of(cast.alice)
    with at_home.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines()))
    principal = cast.alice.principal
    path = f"/t/{principal.tenant.slug}/w/{principal.workspace.slug}/chat/{started.data['conversation_id']}"

    def journey(browser: Browser) -> None:
        with page_of(browser, refused="/events") as page:
            with Served(application, lifespan="on") as first:
                sign_in(page, first.url, "alice@example.com")
                page.goto(first.url + path)
                expect(last_reply(page)).to_have_text("One", timeout=TIMEOUT)
            expect(page.get_by_role("alert")).to_have_count(0)
            with Served(application, lifespan="on", port=first.port):
                gate.set()
                expect(last_reply(page)).to_have_text("One two", timeout=TIMEOUT)
                expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
                expect(page.get_by_role("alert")).to_have_count(0)

    chromium.run(journey)
