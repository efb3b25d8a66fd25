"""Budgets in a real browser: set one, use it, get its warning, and see the usage chart and table."""

import pytest
from playwright.sync_api import Browser, expect

from accounts.tests.cast import Cast
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from quotas.ledger_audit import check_ledger
from tests.journeys.test_first_message import TIMEOUT, last_reply, say, sign_up

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]


def test_a_budget_is_set_used_and_shown(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    provider.script = Script(steps=["word "] * 40)

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_up(page, server.url)
            base = page.url.removesuffix("chat/")
            page.goto(f"{base}usage/budgets")
            page.select_option("[name=target]", "member")
            page.select_option("[name=kind]", "tokens/day")
            page.fill("[name=limit]", "2000")
            page.fill("form .field [name=soft_percent] >> nth=0", "2")
            page.get_by_test_id("set-budget").click()
            expect(page.locator("tbody tr")).to_have_count(2, timeout=TIMEOUT)
            page.goto(f"{base}chat/")
            expect(page.get_by_test_id("near-limit")).to_have_count(0)
            say(page, "Say many words")
            expect(last_reply(page)).to_contain_text("word word", timeout=TIMEOUT)
            expect(page.get_by_test_id("near-limit")).to_contain_text(
                "% of a budget is used", timeout=TIMEOUT
            )
            expect(page.get_by_test_id("quota-meter")).to_contain_text("tokens left")
            page.goto(f"{base}usage")
            expect(page.locator("figcaption")).to_contain_text("tokens on 1 of", timeout=TIMEOUT)
            expect(page.locator("tfoot")).to_contain_text("44")
            with page.expect_download() as download:
                page.get_by_role("link", name="CSV").click()
            assert download.value.path().read_text().count("\n") == 2

    chromium.run(journey)
    assert check_ledger().differences == []
