"""In a real browser: editing a message, regenerating a reply with another model."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.models import Turn
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import install_clever
from kit.tenancy import tenant_scope
from tests.journeys.test_first_message import TIMEOUT, last_reply, say

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]


def test_a_message_is_edited_and_a_reply_asked_for_again(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = [settings.LOCAL_MODEL_URL.removeprefix("http://")]
    install_clever(cast.alice, settings.LOCAL_MODEL_URL)
    provider.scripts = [Script(steps=[word]) for word in ("first", "second", "third", "fourth")]

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            for word in ("first", "second"):
                say(page, f"Say the {word}")
                expect(last_reply(page)).to_have_text(word, timeout=TIMEOUT)
                expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            page.get_by_test_id("edit-message").first.click()
            page.get_by_test_id("edited-message").fill("Say the third")
            asked: list[str] = []
            answers = iter(["dismiss", "accept"])

            def settle(dialog: Dialog) -> None:
                asked.append(dialog.message)
                getattr(dialog, next(answers))()

            page.on("dialog", settle)
            for forms_left in (1, 0):
                page.get_by_test_id("send-edited").click()
                expect(page.get_by_test_id("edited-message")).to_have_count(forms_left)
            assert asked == ["This removes 1 later message. Continue?"] * 2
            expect(last_reply(page)).to_have_text("third", timeout=TIMEOUT)
            expect(page.locator(".turn")).to_have_count(1)
            expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            page.select_option("[name=model]", "clever")
            page.get_by_test_id("regenerate").click()
            expect(last_reply(page)).to_have_text("fourth", timeout=TIMEOUT)
            expect(page.locator("[data-fact=model]")).to_have_text("clever")
            page.reload()
            expect(page.get_by_test_id("message-user")).to_have_text("Say the third")
            expect(last_reply(page)).to_have_text("fourth")

    chromium.run(journey)
    with tenant_scope(cast.bob.principal.tenant):
        current = Turn.objects.filter(is_current=True, user_id=cast.bob.principal.user_id)
        assert [turn.model for turn in current] == ["clever"]


def test_a_refused_edit_preserves_its_text(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    provider.scripts = [Script(steps=[word]) for word in ("first", "second")]

    def journey(browser: Browser) -> None:
        with page_of(browser, refused="/chat/send") as page:
            sign_in(page, server.url, "bob@example.com")
            say(page, "Say the first")
            expect(last_reply(page)).to_have_text("first", timeout=TIMEOUT)
            expect(page.get_by_test_id("stop")).to_be_hidden(timeout=TIMEOUT)
            edited = page.get_by_test_id("edited-message")
            page.get_by_test_id("edit-message").click()
            edited.fill("Say the second, and much more")
            page.context.set_offline(True)
            page.get_by_test_id("send-edited").click()
            expect(page.locator(".message-edit").get_by_role("alert")).to_contain_text("Could not reach")
            expect(edited).to_have_value("Say the second, and much more")
            expect(edited).to_be_focused()
            expect(last_reply(page)).to_have_text("first")
            page.context.set_offline(False)
            page.reload()
            page.get_by_test_id("edit-message").click()
            expect(edited).to_have_value("Say the second, and much more")
            page.get_by_test_id("send-edited").click()
            expect(last_reply(page)).to_have_text("second", timeout=TIMEOUT)
            expect(page.get_by_test_id("message-user")).to_have_text("Say the second, and much more")

    chromium.run(journey)
