"""LibreChat's losses in a browser: the page shows the whole reply and the notice about our copy."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.conformance.test_losses import WHOLE, WORDS
from gateway.tests.needs import needs
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from tests.journeys.test_first_message import TIMEOUT, last_reply, say

pytestmark = [pytest.mark.browser, pytest.mark.conformance, pytest.mark.slow, needs("chromium")]


def test_the_page_shows_the_whole_reply_and_says_that_history_was_restored(  # noqa: PLR0917 - fixtures
    replayed: ReplayedLibreChat,
    server: Served,
    cast: Cast,
    provider: ScriptedProvider,
    chromium: Chromium,
    settings: Any,
) -> None:
    provider.script = Script(steps=list(WORDS))

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            replayed.is_torn, replayed.loses_beginnings = True, 9
            say(page, "count")
            expect(last_reply(page)).to_have_text(WHOLE.strip(), timeout=TIMEOUT)
            expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            replayed.reset()
            say(page, "count again")
            expect(last_reply(page)).to_have_text(WHOLE.strip(), timeout=TIMEOUT)
            expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            notice = page.locator(".reply-notice").last
            expect(notice).to_contain_text("own copy")
            page.reload()
            expect(page.locator(".reply-notice").last).to_contain_text("own copy")

    chromium.run(journey)
