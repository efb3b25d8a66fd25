"""Images in a real browser: attached, refused, removed, sent, and there again after a reload."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from accounts.tests.cast import Cast
from gateway.ingress.tests.test_images import SVG, seeing, shown
from gateway.ingress.tests.test_journey import TIMEOUT, last_reply, say
from gateway.ingress.tests.test_tools_in_browser import sign_in
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.pictures import picture
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_stand import MODEL

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]
__all__ = ["seeing"]  # a fixture


def upload(name: str, kind: str, data: bytes) -> Any:
    return {"name": name, "mimeType": kind, "buffer": data}


def test_images_are_attached_and_seen(
    server: Served, seeing: None, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            page.select_option("[name=model]", "local")
            expect(page.get_by_test_id("attach")).to_be_disabled()
            page.select_option("[name=model]", MODEL)
            files = page.locator("[data-part=image-files]")
            files.set_input_files(
                [upload("one.png", "image/png", picture()), upload("two.svg", "image/svg+xml", SVG)]
            )
            items = page.get_by_test_id("images").locator("li")
            expect(items.nth(1)).to_contain_text("Choose a PNG", timeout=TIMEOUT)
            expect(items.first.locator("img")).to_be_visible(timeout=TIMEOUT)
            items.nth(1).get_by_role("button").click()
            expect(items).to_have_count(1)
            say(page, "What is this?")
            expect(last_reply(page)).to_contain_text("Hello there.", timeout=TIMEOUT)
            expect(items).to_have_count(0)
            sent = page.get_by_test_id("message-user").locator("img")
            expect(sent).to_be_visible()
            page.reload()
            expect(sent).to_be_visible(timeout=TIMEOUT)
            assert sent.evaluate("image => image.naturalWidth") == 40

    chromium.run(journey)
    assert shown(provider.requests[-1]) == [["data:image/png"]]
