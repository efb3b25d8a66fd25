"""Signing in at an MCP server in a real browser: as a manager who installs it, as a member who chats."""

import pytest
from playwright.sync_api import Browser, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.protected_mcp import ProtectedMCP
from gateway.tests.served import Served
from tests.journeys.test_first_message import TIMEOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]


def test_a_manager_and_a_member_sign_in(
    server: Served, cast: Cast, chromium: Chromium, vault: ProtectedMCP, settings: object
) -> None:
    settings.SITE_URL = server.url  # type: ignore[attr-defined]

    def journey(browser: Browser) -> None:
        base = f"{server.url}/t/acme/w/sales/"
        with page_of(browser) as page:
            sign_in(page, server.url, "alice@example.com")
            page.goto(f"{base}mcps/install/")
            for name, text in {"name": "Vault", "slug": "vault", "url": f"{vault.url}/mcp"}.items():
                page.fill(f"[name={name}]", text)
            page.select_option("[name=auth]", "oauth")
            page.select_option("[name=sign_in]", "member")
            page.get_by_test_id("install-server").click()
            expect(page.get_by_text("Installed. Sign in to see its tools.")).to_be_visible(timeout=TIMEOUT)
            page.get_by_test_id("mcp-sign-in").click()
            expect(page.get_by_text("Signed in to vault.")).to_be_visible(timeout=TIMEOUT)
            expect(page.locator(".tool", has_text="open")).to_be_visible()
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            page.goto(f"{base}chat/")
            page.get_by_test_id("mcp-toggle").click()
            page.get_by_test_id("mcp-sign-in").click()
            page.get_by_test_id("mcp-sign-in").click()
            expect(page.get_by_text("Signed in to vault.")).to_be_visible(timeout=TIMEOUT)
            page.get_by_test_id("mcp-toggle").click()
            page.get_by_label("Vault").check()

    chromium.run(journey)
