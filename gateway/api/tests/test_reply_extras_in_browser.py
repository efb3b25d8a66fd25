"""Sources and images of a reply in a real browser: live, after a reload, and in a shared conversation."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.conversations.tests.test_reply_extras import cited, data_url, image
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.pictures import picture
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from tests.journeys.test_first_message import TIMEOUT, say

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]
REMOTE = "https://pictures.example/one.png"
SHOTS = os.environ.get("SCREENSHOTS", "")  # a folder, to look at the pages


def shoot(page: Page, name: str) -> None:
    if not SHOTS:
        return
    for theme in ("light", "dark"):
        for width in (1280, 390):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(300)
            page.screenshot(path=Path(SHOTS) / f"{name}-{theme}-{width}.png")
    page.set_viewport_size({"width": 1280, "height": 800})


def expect_extras(page: Page) -> None:
    drawn = page.get_by_test_id("reply-images").locator("img")
    expect(drawn).to_have_count(1, timeout=TIMEOUT)
    expect(drawn).to_have_attribute("alt", "Image 1 of the reply")
    expect(drawn).to_be_visible()
    page.wait_for_function("document.querySelector('.reply-images img').naturalWidth === 640")
    sources = page.get_by_test_id("reply-sources")
    expect(sources.get_by_role("link")).to_have_count(8)
    expect(sources).to_contain_text("and 4 more")
    first = sources.get_by_role("link").first
    expect(first).to_have_text("<b>Zero</b> & more")
    expect(first).to_have_attribute("rel", "noopener noreferrer")
    expect(page.get_by_role("link", name="Image on pictures.example")).to_have_attribute("href", REMOTE)
    expect(page.locator(".reply-wait")).to_be_hidden()
    expect(page.get_by_test_id("regenerate")).to_be_visible()


def test_sources_and_images_are_shown_live_after_a_reload_and_to_others(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    sources = [cited("https://news.example/0", "<b>Zero</b> & more"), cited("javascript:alert(1)", "Bad")]
    sources += [cited(f"https://www.site{number}.example/page") for number in range(1, 12)]
    drawn = image(data_url(data=picture(size=(640, 360))))
    script = Script(steps=[], deltas=[{"images": [drawn, image(REMOTE)]}, {"annotations": sources * 2}])
    provider.script = script

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            sign_in(page, server.url, "bob@example.com")
            page.select_option("[name=model]", "local")
            say(page, "Draw it")
            expect_extras(page)
            expect(page.locator(".turn[data-state=done]")).to_be_visible(timeout=TIMEOUT)
            expect_extras(page)
            page.reload()
            expect_extras(page)
            shoot(page, "reply")
            conversation = page.url
            page.request.post(
                f"{conversation}/share",
                form={
                    "shared": "1",
                    "csrfmiddlewaretoken": page.locator("[name=csrfmiddlewaretoken]").first.input_value(),
                },
                headers={"Referer": conversation},
            )
            assert not [url for url in asked if not url.startswith((server.url, "data:"))]
        with page_of(browser) as page:
            sign_in(page, server.url, "alice@example.com")
            page.goto(conversation)
            drawn = page.get_by_test_id("reply-images").locator("img")
            expect(drawn).to_be_visible(timeout=TIMEOUT)
            page.wait_for_function("document.querySelector('.reply-images img').naturalWidth === 640")

    chromium.run(journey)
