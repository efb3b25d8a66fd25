"""Two people in two browsers: invitation, shared conversation, changed role, removal; and a passkey."""

import re
import threading
from typing import Any

import httpx
import oidc_provider_mock
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core import mail
from playwright.sync_api import Browser, Page, expect

from accounts.models import User
from accounts.sign_in.tests.test_social import providers
from accounts.tests.cast import PASSWORD, Cast
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs("chromium")]
TIMEOUT = 10_000


def sign_in(page: Page, url: str, email: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.fill("[name=login]", email)
    page.fill("[name=password]", PASSWORD)
    page.get_by_test_id("sign-in").click()


def say(page: Page, text: str) -> None:
    expect(page.get_by_test_id("composer")).to_be_focused(timeout=TIMEOUT)  # now the page's script runs
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Enter")


def mailed_token() -> str:
    found = re.search(r"/invitations/(\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1]


def test_two_people_from_an_invitation_to_its_end(
    server: Served, cast: Cast, provider: ScriptedProvider, chromium: Chromium
) -> None:
    workspace_url = f"{server.url}/t/acme/w/sales"
    gate = threading.Event()

    def journey(browser: Browser) -> None:
        with page_of(browser) as alice, page_of(browser, viewport={"width": 390, "height": 800}) as erin:
            sign_in(alice, server.url, "alice@example.com")
            say(alice, "Our plan")
            expect(alice.get_by_test_id("message-reply")).to_have_text("Hello there.", timeout=TIMEOUT)
            share(alice)
            conversation = alice.url
            invite(alice, workspace_url, "erin@example.com")
            accept(erin, server.url)
            erin.goto(conversation)
            expect(erin.get_by_test_id("message-user")).to_have_text("Our plan", timeout=TIMEOUT)
            give_role(alice, workspace_url, "erin@example.com", "viewer")
            erin.goto(f"{workspace_url}/chat/")
            expect(erin.get_by_test_id("composer")).to_be_hidden(timeout=TIMEOUT)
            give_role(alice, workspace_url, "erin@example.com", "editor")
            erin.goto(f"{workspace_url}/chat/")
            provider.script = Script(steps=["The first half", gate, "and the rest"])
            say(erin, "Tell me all")
            expect(erin.get_by_test_id("message-reply")).to_have_text("The first half", timeout=TIMEOUT)
            remove(alice, workspace_url, "erin@example.com")
            expect(erin.get_by_text("Your access to this workspace has ended.")).to_be_visible(
                timeout=TIMEOUT
            )
            gate.set()
            assert erin.request.get(f"{workspace_url}/chat/").status == 404

    chromium.run(journey)


def share(page: Page) -> None:
    page.get_by_role("button", name="Conversation actions").last.click()
    page.locator("#conversation-menu").get_by_text("Share with the workspace").click()
    expect(page.locator(".toast-success")).to_be_visible(timeout=TIMEOUT)


def invite(page: Page, workspace_url: str, email: str) -> None:
    page.goto(f"{workspace_url}/members/invitations")
    page.fill("[name=emails]", email)
    page.get_by_test_id("invite").click()
    expect(
        page.get_by_role("cell", name=email).or_(page.get_by_role("rowheader", name=email))
    ).to_be_visible()


def accept(page: Page, url: str) -> None:
    page.goto(f"{url}/invitations/{mailed_token()}")
    assert page.url == f"{url}/invitations/"  # without the secret
    page.fill("[name=name]", "Erin")
    page.fill("[name=password]", PASSWORD)
    page.get_by_test_id("accept").click()
    expect(page.get_by_test_id("composer")).to_be_visible(timeout=TIMEOUT)


def give_role(page: Page, workspace_url: str, email: str, role: str) -> None:
    page.goto(f"{workspace_url}/settings/workspaces/sales")
    page.locator(f"[data-testid=place][data-email='{email}'] select").select_option(role)
    expect(page.get_by_text("The new role applies now.")).to_be_visible(timeout=TIMEOUT)


def remove(page: Page, workspace_url: str, email: str) -> None:
    page.goto(f"{workspace_url}/members")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator(f"[data-testid=member][data-email='{email}']").get_by_test_id("remove").click()
    expect(page.get_by_text("They no longer have access.")).to_be_visible(timeout=TIMEOUT)


def test_a_passkey_signs_in_without_a_password(server: Served, cast: Cast, chromium: Chromium) -> None:
    """On localhost, because passkeys are bound to a host name; Chromium's virtual device confirms."""
    url = server.url.replace("127.0.0.1", "localhost")
    EmailAddress.objects.filter(user=cast.alice.user).update(verified=True)

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            add_authenticator(page)
            sign_in(page, url, "alice@example.com")
            expect(page.get_by_test_id("composer")).to_be_visible(timeout=TIMEOUT)
            page.goto(f"{url}/accounts/2fa/webauthn/add/")
            page.fill("[name=password]", PASSWORD)
            page.get_by_test_id("reauthenticate").click()
            page.get_by_test_id("passkey-add").click()
            expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible(timeout=TIMEOUT)
            page.context.clear_cookies()
            page.goto(f"{url}/accounts/login/")
            page.get_by_test_id("passkey").click()
            expect(page.get_by_test_id("composer")).to_be_visible(timeout=TIMEOUT)

    chromium.run(journey)
    assert Authenticator.objects.filter(user=cast.alice.user, type="webauthn").count() == 1


def add_authenticator(page: Page) -> Any:
    """Adds a virtual device that stores passkeys and always recognises the person."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session


def test_a_new_person_signs_in_with_an_issuer_and_creates_a_team(
    server: Served, cast: Cast, chromium: Chromium, settings: Any
) -> None:
    """By our redirect page (the CSP forbids forms that end at another site) to the issuer and back."""

    def journey(browser: Browser, issuer: str) -> None:
        with page_of(browser) as page:
            # What the library's page would fetch from elsewhere, and the icon that it lacks.
            page.route(re.compile(r"^https:|/favicon\.ico$"), lambda route: route.fulfill(status=204))
            page.goto(f"{server.url}/accounts/login/")
            page.get_by_role("button", name="Sign in with Acme ID").click()
            page.wait_for_url(f"{issuer}/**", timeout=TIMEOUT)
            page.fill("[name=sub]", "erin@example.com")
            page.get_by_role("button", name="Authorize").click()
            page.wait_for_url(f"{server.url}/**", timeout=TIMEOUT)
            page.fill("[name=name]", "Initech")
            page.get_by_test_id("new-team").click()
            expect(page.get_by_test_id("composer")).to_be_visible(timeout=TIMEOUT)

    claims = {"email": "erin@example.com", "email_verified": True}
    with oidc_provider_mock.run_server_in_thread() as running:
        issuer = f"http://localhost:{running.server_port}"
        settings.SOCIALACCOUNT_PROVIDERS = providers(issuer)
        httpx.put(f"{issuer}/users/erin@example.com", json=claims).raise_for_status()
        chromium.run(lambda browser: journey(browser, issuer))
    assert User.objects.get(email="erin@example.com").memberships.get().role == "owner"
