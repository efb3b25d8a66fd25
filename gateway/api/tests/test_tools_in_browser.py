"""Tools in a real browser: install a server, restrict it, chat, allow a call, see its result and its cost."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.tests.cast import PASSWORD, Cast
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_stand import say as script
from tests.journeys.test_first_message import TIMEOUT, last_reply, say

pytestmark = [pytest.mark.browser, needs("chromium")]


def sign_in(page: Page, url: str, email: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.fill("[name=login]", email)
    page.fill("[name=password]", PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("composer")).to_be_focused(timeout=TIMEOUT)  # by its script


def install_model(page: Page, base: str, url: str) -> None:
    """By address and key; it answers the trial before it is kept."""
    page.goto(f"{base}models/catalogue/")
    page.get_by_test_id("other-provider").click()
    page.fill("[name=name]", "Ours")
    page.fill("[name=slug]", "ours")
    page.fill("[name=upstream_name]", "ours-1")
    page.fill("[name=context_window]", "100000")
    page.fill("[name=output_bound]", "200")
    page.get_by_label("Tools").check()
    page.select_option("[name=kind]", "compatible")
    page.fill("[name=base_url]", f"{url}/v1")
    page.fill("[name=key]", "sk-1")
    page.get_by_label("Enable for everyone in this workspace now").check()
    page.get_by_test_id("save-model").click()
    expect(page.get_by_text("Model installed. The key works and the model answers.")).to_be_visible(
        timeout=TIMEOUT
    )


@pytest.mark.slow
def test_a_tool_is_installed_restricted_allowed_and_used(  # noqa: PLR0917 - fixtures
    server: Served,
    cast: Cast,
    provider: ScriptedProvider,
    chromium: Chromium,
    calculator: RealMCP,
    settings: Any,
) -> None:
    script(
        provider,
        Script(),
        Script(steps=["I wipe ", "them."], calls=[("wipe", {"what": "notes"})], finish_reason="tool_calls"),
        Script(steps=["It is ", "gone."]),
    )

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "alice@example.com")
            base = f"{server.url}/t/acme/w/sales/"
            install_model(page, base, settings.LOCAL_MODEL_URL)
            page.goto(f"{base}mcps/gallery/")
            page.get_by_test_id("other-server").click()
            page.fill("[name=name]", "Calculator")
            page.fill("[name=slug]", "calculator")
            page.fill("[name=url]", f"{calculator.url}/mcp")
            page.get_by_test_id("install-server").click()
            expect(page.get_by_text("Connected. 4 tools found.")).to_be_visible(timeout=TIMEOUT)
            flood = page.locator(".tool", has_text="flood")
            flood.locator("summary").click()
            flood.locator("[name=is_allowed]").uncheck()
            flood.get_by_role("button", name="Save").click()
            expect(page.locator(".tool", has_text="flood")).to_contain_text("Denied", timeout=TIMEOUT)
            page.goto(f"{base}chat/")
            page.select_option("[name=model]", "local")
            page.get_by_test_id("mcp-toggle").click()
            expect(page.get_by_text("The chosen model cannot use any.")).to_be_visible()
            page.get_by_label("Calculator").check()
            expect(page.get_by_test_id("mcp-toggle")).to_have_text("Tools")
            page.keyboard.press("Escape")
            page.select_option("[name=model]", "ours")
            expect(page.get_by_test_id("mcp-toggle")).to_have_text("Tools1")
            say(page, "Wipe my notes")
            expect(page.get_by_test_id("approval")).to_be_visible(timeout=TIMEOUT)
            page.get_by_role("button", name="Allow once").click()
            expect(last_reply(page)).to_contain_text("It is gone.", timeout=TIMEOUT)
            expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            card = page.get_by_test_id("tool-card").last
            card.locator("summary").click()
            expect(card.locator(".tool-output")).to_have_text("notes is gone")
            expect(page.locator("[data-fact=tokens]").last).to_contain_text("tokens")
            in_order = re.compile(r"I wipe them\..*wipe.*It is gone\.", re.DOTALL)
            expect(last_reply(page)).to_have_text(in_order)
            page.reload()
            expect(page.get_by_test_id("tool-card")).to_have_count(1)
            expect(last_reply(page)).to_have_text(in_order)
            address = page.url
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            page.goto(f"{base}mcps/calculator")
            expect(page.get_by_text("Denied")).to_have_count(0)
            expect(page.get_by_role("button", name="Look again")).to_have_count(0)
        context = browser.new_context()
        stranger = context.new_page()
        sign_in(stranger, server.url, "dana@example.com")
        for path in (f"{base}mcps/calculator", address):
            answer = stranger.goto(path)
            assert answer is not None
            assert answer.status == 404
        context.close()

    chromium.run(journey)
    assert calculator.calls == [("wipe", "notes")]
