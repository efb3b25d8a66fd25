"""The cards of tools while they wait, in a real browser: after a reload, a lost connection, a stop."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import MODEL, install_calculator
from gateway.tests.tool_setup import say as script
from tests.journeys.test_first_message import TIMEOUT, last_reply, say

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]
IN_ORDER = re.compile(r"wipe.*It is gone\.", re.DOTALL)


@pytest.fixture
def installed(calculator: RealMCP, client_of: Any, cast: Cast, provider: ScriptedProvider) -> RealMCP:
    assert install_calculator(client_of(cast.alice), calculator.url).status_code == 201
    wipes = Script(steps=["\n\n"], calls=[("wipe", {"what": "notes"})], finish_reason="tool_calls")
    script(provider, wipes, Script(steps=["It is ", "gone."]))
    return calculator


def ask(page: Page, url: str) -> Any:
    """bob's question, whose tool waits for him; its card."""
    sign_in(page, url, "bob@example.com")
    page.select_option("[name=model]", MODEL)
    page.get_by_test_id("mcp-toggle").click()
    page.get_by_label("Calculator").check()
    page.keyboard.press("Escape")
    say(page, "Wipe my notes")
    expect(page.get_by_test_id("approval")).to_be_visible(timeout=TIMEOUT)
    return page.get_by_test_id("tool-card")


def test_a_tool_that_waits_is_announced_and_stays_before_the_text_that_follows(
    server: Served, installed: RealMCP, cast: Cast, chromium: Chromium
) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            card = ask(page, server.url)
            expect(page.locator("#chat-status")).to_have_text("A tool call is waiting for your answer.")
            page.reload()
            expect(page.get_by_test_id("approval")).to_be_visible(timeout=TIMEOUT)
            page.get_by_role("button", name="Allow once").focus()
            page.keyboard.press("Enter")
            expect(last_reply(page)).to_have_text(IN_ORDER, timeout=TIMEOUT)
            expect(card.locator("summary")).to_be_focused()
            expect(card).to_have_count(1)
            expect(page.get_by_test_id("approval")).to_have_count(0)

    chromium.run(journey)


def cut_connections(server: Served) -> None:
    for connection in list(server.server.server_state.connections):
        connection.loop.call_soon_threadsafe(connection.transport.abort)  # type: ignore[union-attr]


def test_a_reconnected_page_repeats_nothing(
    server: Served, installed: RealMCP, cast: Cast, chromium: Chromium
) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser, refused="/events") as page:
            card = ask(page, server.url)
            answers = iter([502, 502])

            def answer(route: Route) -> None:
                status = next(answers, None)
                route.fulfill(status=status) if status else route.continue_()

            page.route("**/events", answer)
            is_back = lambda response: response.url.endswith("/events") and response.ok  # noqa: E731
            with page.expect_response(is_back, timeout=2 * TIMEOUT):
                cut_connections(server)
                expect(page.get_by_text("Reconnecting…")).to_be_visible(timeout=TIMEOUT)
            expect(page.get_by_text("Reconnecting…")).to_be_hidden(timeout=TIMEOUT)
            page.wait_for_timeout(300)  # a repeated event would be visible by then
            expect(card).to_have_count(1)
            page.get_by_role("button", name="Allow once").click()
            expect(last_reply(page)).to_have_text(IN_ORDER, timeout=TIMEOUT)

    chromium.run(journey)


def test_only_the_author_is_asked_for_approval_and_no_one_after_a_stop(
    server: Served, installed: RealMCP, cast: Cast, client_of: Any, chromium: Chromium
) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser) as page, page_of(browser) as other:
            card = ask(page, server.url)
            page.wait_for_url("**/chat/*-*")
            shared = client_of(cast.bob).patch(
                f"/v1/conversations/{page.url.rpartition('/')[2]}", json={"shared": True}
            )
            assert shared.is_success
            sign_in(other, server.url, "alice@example.com")
            other.goto(page.url)
            seen = other.get_by_test_id("tool-card")
            expect(seen).to_contain_text("Waiting for the person who asked", timeout=TIMEOUT)
            expect(other.get_by_test_id("approval")).to_have_count(0)
            page.get_by_test_id("stop").click()
            for settled in (card, seen):
                expect(settled).to_contain_text("No result", timeout=TIMEOUT)
            expect(page.get_by_test_id("approval")).to_have_count(0)

    chromium.run(journey)
    assert installed.calls == []
