"""Images in a real browser: attached, refused, removed, sent, and there again after a reload."""

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Browser, Page, Route, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.conversations.tests.test_images import SVG, seeing, shown
from gateway.models import Image
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.pictures import picture
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import MODEL
from kit.tenancy import tenant_scope
from tests.journeys.test_first_message import TIMEOUT, last_reply, say

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


def attach(page: Page) -> None:
    page.locator("[data-part=image-files]").set_input_files([upload("one.png", "image/png", picture())])


def test_a_failed_question_is_asked_again_with_its_images(
    server: Served, seeing: None, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    provider.script = Script(status=500)

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            page.select_option("[name=model]", MODEL)
            attach(page)
            items = page.get_by_test_id("images").locator("li img")
            expect(items).to_be_visible(timeout=TIMEOUT)
            say(page, "What is this?")
            expect(page.get_by_role("alert")).to_contain_text("overloaded or unavailable", timeout=TIMEOUT)
            provider.script = Script()
            attach(page)
            expect(items).to_be_visible(timeout=TIMEOUT)
            page.get_by_role("button", name="Retry").click()
            expect(last_reply(page)).to_have_text("Hello there.", timeout=TIMEOUT)
            expect(page.locator(".turn")).to_have_count(1)
            expect(page.get_by_test_id("message-user").locator("img")).to_be_visible()
            expect(items).to_have_count(1)

    chromium.run(journey)
    assert shown(provider.requests[-1]) == [["data:image/png"]]


PASTE = """(area, { text, image }) => {
  const clipboardData = new DataTransfer();
  if (text) clipboardData.setData("text/plain", text);
  const bytes = Uint8Array.from(atob(image), (sign) => sign.charCodeAt(0));
  clipboardData.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
  return area.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""  # whether the browser would go on to paste the text


def test_a_pasted_table_stays_text_and_a_pasted_image_is_attached(
    server: Served, seeing: None, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    image = {"text": "", "image": b64encode(picture()).decode()}

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            area = page.get_by_test_id("composer")
            items = page.get_by_test_id("images").locator("li img")
            page.select_option("[name=model]", "local")
            assert area.evaluate(PASTE, image)
            page.select_option("[name=model]", MODEL)
            assert area.evaluate(PASTE, {**image, "text": "a\tb"})
            expect(items).to_have_count(0)
            assert not area.evaluate(PASTE, image)
            expect(items).to_be_visible(timeout=TIMEOUT)

    chromium.run(journey)


def test_attached_images_are_stored_with_the_draft_and_removed_with_it(
    server: Served, seeing: None, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser, refused="/chat/send") as page:
            sign_in(page, server.url, "bob@example.com")
            page.select_option("[name=model]", MODEL)
            held: list[Route] = []

            def hold(route: Route) -> None:
                held.append(route)

            page.route("**/images", hold)
            with page.expect_request("**/images"):
                attach(page)
            page.get_by_role("button", name="Remove image").click()
            with page.expect_response("**/discard"):
                held[0].continue_()
            page.unroute("**/images")
            attach(page)
            items = page.get_by_test_id("images").locator("li")
            expect(items.locator("img")).to_be_visible(timeout=TIMEOUT)
            page.get_by_test_id("composer").fill("What is this?")
            page.reload()
            expect(items.locator("img")).to_be_visible(timeout=TIMEOUT)
            expect(page.get_by_test_id("composer")).to_have_value("What is this?")
            forget()
            page.get_by_test_id("send").click()
            expect(page.get_by_role("alert")).to_contain_text(
                "This is not one of your unsent images", timeout=TIMEOUT
            )
            expect(items.locator("img")).to_be_visible()
            expect(page.get_by_test_id("composer")).to_have_value("What is this?")

    def forget() -> None:
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(forget_here).result()

    def forget_here() -> None:
        with tenant_scope(cast.bob.principal.tenant):
            assert Image.objects.all().delete()[0] == 1
        connection.close()

    chromium.run(journey)
