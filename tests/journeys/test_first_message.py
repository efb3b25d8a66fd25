"""The journey in a real browser: sign up, chat, watch the reply, reload in its middle, stop one."""

import threading
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.tests.cast import PASSWORD, Cast
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served

pytestmark = [pytest.mark.browser, needs("chromium")]
TIMEOUT = 10_000


def sign_up(page: Page, url: str) -> None:
    page.goto(f"{url}/accounts/signup/")
    for field, value in {
        "name": "Erin Example",
        "email": "erin@example.com",
        "password1": PASSWORD,
        "tenant_name": "Initech",
        "workspace_name": "Research",
    }.items():
        page.fill(f"[name={field}]", value)
    page.get_by_test_id("sign-up").click()
    expect(page.get_by_test_id("composer")).to_be_focused(timeout=TIMEOUT)


def say(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Enter")


def last_reply(page: Page) -> Any:
    return page.get_by_test_id("message-reply").last


def test_from_sign_up_to_a_streamed_reply(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["Some **bold** text.\n\n```python\nprint(1)", gate, "\n```\n\nThe end."])

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_up(page, server.url)
            say(page, "Show me <b>code</b>")
            expect(page.get_by_test_id("message-user")).to_have_text("Show me <b>code</b>", timeout=TIMEOUT)
            expect(last_reply(page).locator("strong")).to_have_text("bold", timeout=TIMEOUT)
            expect(last_reply(page).locator(".code-block .nb")).to_have_text("print", timeout=TIMEOUT)
            expect(page.get_by_test_id("stop")).to_be_visible()
            page.reload()
            expect(last_reply(page).locator("strong")).to_have_text("bold", timeout=TIMEOUT)
            gate.set()
            expect(last_reply(page)).to_contain_text("The end.", timeout=TIMEOUT)
            expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            expect(page.get_by_test_id("conversation-link")).to_contain_text("Show me", timeout=TIMEOUT)
            expect(page.get_by_test_id("quota-meter")).to_be_visible()
            page.reload()
            expect(last_reply(page).locator("p").last).to_have_text("The end.", timeout=TIMEOUT)

    chromium.run(journey)


@pytest.mark.slow
def test_stop_keeps_the_partial_reply_and_the_chat_continues(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    provider.script = Script(steps=["Half a reply", threading.Event()])

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_up(page, server.url)
            say(page, "A long tale, please")
            expect(last_reply(page)).to_have_text("Half a reply", timeout=TIMEOUT)
            page.get_by_test_id("stop").click()
            expect(page.get_by_text("Stopped")).to_be_visible(timeout=TIMEOUT)
            provider.script = Script()
            say(page, "Go on")
            expect(last_reply(page)).to_have_text("Hello there.", timeout=TIMEOUT)

    chromium.run(journey)


@pytest.mark.slow
def test_a_refusal_can_be_retried_without_losing_the_text(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    provider.script = Script(status=500)

    def journey(browser: Browser) -> None:
        with page_of(browser, viewport={"width": 390, "height": 844}) as page:
            sign_up(page, server.url)
            say(page, "Hello?")
            expect(page.get_by_role("alert")).to_contain_text("overloaded or unavailable", timeout=TIMEOUT)
            provider.script = Script()
            page.get_by_role("button", name="Retry").click()
            expect(last_reply(page)).to_have_text("Hello there.", timeout=TIMEOUT)

    chromium.run(journey)


@pytest.mark.slow
def test_deleting_a_conversation_asks_first(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_up(page, server.url)
            say(page, "Keep me, or not")
            expect(last_reply(page)).to_have_text("Hello there.", timeout=TIMEOUT)
            page.reload()
            answers = iter(["dismiss", "accept"])
            page.on("dialog", lambda dialog: getattr(dialog, next(answers))())
            for kept in (True, False):
                page.get_by_role("button", name="Conversation actions").click()
                page.locator("#conversation-menu").get_by_role("button", name="Delete").click()
                expect(page.get_by_test_id("conversation-link")).to_have_count(int(kept), timeout=TIMEOUT)
                page.keyboard.press("Escape")
            expect(page.get_by_text("Conversation deleted.")).to_be_visible(timeout=TIMEOUT)

    chromium.run(journey)
