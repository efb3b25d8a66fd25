"""The admin and the API's documentation in a real browser, under the strict CSP."""

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.models import Tenant, Workspace
from accounts.tests.cast import Cast
from accounts.tests.operators import PASSWORD, operator
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.served import Served
from gateway.tests.stored import SECRET, store_turn

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]
TIMEOUT = 10_000


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/admin/")
    page.fill("[name=login]", "op@example.com")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    expect(page.locator("#site-name")).to_contain_text("Switchyard", timeout=TIMEOUT)


def test_an_operator_opens_a_tenant_and_sees_that_it_talks(
    server: Served, cast: Cast, chromium: Chromium
) -> None:
    operator()
    turn = store_turn(cast.bob)

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url)
            page.goto(f"{server.url}/admin/accounts/tenant/?q=acme")
            page.get_by_role("link", name="Conversations", exact=True).first.click()
            expect(page.locator("#user-tools")).to_contain_text("Inside acme")
            page.get_by_role("link", name=str(turn.conversation_id)).click()
            expect(page.locator(".field-owner")).to_contain_text("bob@example.com")
            assert SECRET not in page.content()
            page.get_by_role("link", name="leave").click()
            expect(page.locator("#user-tools")).to_contain_text("Open a tenant")

    chromium.run(journey)


def test_the_admins_own_scripts_work(server: Served, cast: Cast, chromium: Chromium) -> None:
    """Pickers that search as one types, the filter by tenant, an action, the widget for rights."""
    operator()
    acme = Tenant.objects.get(slug="acme")
    ops = Workspace.objects.get(tenant=acme, slug="ops")

    def journey(browser: Browser) -> None:
        with page_of(browser, viewport={"width": 1300, "height": 1000}) as page:
            sign_in(page, server.url)
            page.goto(f"{server.url}/admin/accounts/workspace/{ops.pk}/change/")
            pick(page, ".field-user", "bob", "bob@example.com")
            page.get_by_role("button", name="Save", exact=True).click()
            expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
            pick(page, "#changelist-filter", "acme", "acme")
            page.get_by_role("button", name="Filter").click()
            expect(page.locator("#result_list tbody tr")).to_have_count(2)
            page.locator("#action-toggle").check()
            page.locator("select[name=action]").select_option("archive")
            page.get_by_role("button", name="Go").click()
            expect(page.locator(".messagelist")).to_contain_text("Archived.")
            page.goto(f"{server.url}/admin/accounts/user/{cast.bob.principal.user_id}/change/")
            expect(page.locator(".selector-available")).to_be_visible()

    chromium.run(journey)
    assert ops.members.filter(user=cast.bob.user).exists()
    assert not acme.workspaces.filter(archived_at=None).exists()


def pick(page: Page, place: str, typed: str, shown: str) -> None:
    page.locator(f"{place} .select2-selection").first.click()
    page.locator(".select2-search__field").fill(typed)
    page.locator(".select2-results__option", has_text=shown).first.click()


def test_the_documentation_signs_in_and_tries_a_route(server: Served, cast: Cast, chromium: Chromium) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser, viewport={"width": 1300, "height": 1200}) as page:
            page.goto(f"{server.url}/v1/docs")
            expect(page.locator("#operations-chat-send")).to_be_visible(timeout=TIMEOUT)
            page.locator("#operations-chat-send .opblock-summary-control").click()
            expect(page.locator("#operations-chat-send table").first).to_contain_text("finish_reason")
            page.locator(".btn.authorize").first.click()
            bearer = page.locator(".auth-container form").filter(has=page.locator("#auth-bearer-value"))
            bearer.locator("input").fill(cast.bob.token)
            bearer.locator(".authorize").click()
            page.locator(".btn-done").first.click()
            route = page.locator("#operations-workspaces-workspace_quota")
            route.locator(".opblock-summary-control").click()
            route.get_by_role("button", name="Try it out").click()
            route.locator("input[placeholder=workspace]").fill("sales")
            route.get_by_role("button", name="Execute").click()
            expect(route.locator(".live-responses-table .response-col_status").last).to_contain_text("200")

    chromium.run(journey)
