"""Recovering an account by mail: anyone who used it until then loses access."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts.keys import services as api_keys
from accounts.keys.inputs import KeyInput, ServiceAccountInput
from accounts.models import ApiKey, AuditEntry, Invitation, OwnershipOffer, User, WorkspaceLink
from accounts.principals import Principal, default_principal
from accounts.sign_in.tests.test_sign_in import App
from accounts.tests.cast import PASSWORD, Cast, Person
from accounts.tests.mailbox import everything_in, mails_to, path_in
from accounts.tests.requests_as import As, code_of
from kit.tenancy import tenant_scope
from workspaces.inputs import SignUp
from workspaces.mcp_servers.models import MCPServer, MCPSignIn
from workspaces.onboarding import sign_up

pytestmark = pytest.mark.django_db
VICTIM, ATTACKER = "victim@example.com", "attacker@example.net"
ATTACKERS_PASSWORD, VICTIMS_PASSWORD = "a rainy evening in may", "a quiet harbour at dawn"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    cache.clear()


def registered(address: str = VICTIM) -> Principal:
    """An account created with an address that was never verified."""
    return sign_up(
        new=SignUp(email=address, password=ATTACKERS_PASSWORD, name="Mallory", tenant_name="Initech")
    )


def browser(address: str, password: str) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": address, "password": password})
    client.post("/accounts/reauthenticate/", {"password": password})
    return client


def token(address: str, password: str, tenant: str | None = None) -> Any:
    return As().ask("POST", "auth/token", {"email": address, "password": password, "tenantId": tenant})


def reset(address: str, password: str) -> None:
    """By the link in a real mail, as a stranger to the account would."""
    client = Client()
    client.post("/accounts/password/reset/", {"email": address})
    page = client.get(path_in(address, "password/reset/key"), follow=True)
    form = {"password1": password, "password2": password}
    assert client.post(page.request["PATH_INFO"], form).status_code == 302


def second_address(user: User, address: str, *, verified: bool = True) -> None:
    EmailAddress.objects.create(user=user, email=address, verified=verified)


def test_a_preregistered_account_is_only_the_victims_after_reset_and_invitation(cast: Cast) -> None:
    """The whole attack with real mails: registered, second address, recovered, invited, back in."""
    registered()
    theirs = browser(VICTIM, ATTACKERS_PASSWORD)
    page = theirs.post("/accounts/email/", {"email": ATTACKER, "action_add": "1"})
    assert "Confirm your email address first" in page.content.decode()
    assert not mails_to(ATTACKER)
    second_address(User.objects.get(email=VICTIM), ATTACKER)  # possible before this was refused
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": [VICTIM], "role": "admin"})
    reset(VICTIM, VICTIMS_PASSWORD)
    invitation = path_in(VICTIM, "invitations").rpartition("/")[2]
    accepted = As().ask(
        "POST", "auth/invitations/accept", {"token": invitation, "password": VICTIMS_PASSWORD}
    )
    assert accepted.json()["tenantId"] == "acme"
    mail.outbox.clear()
    Client().post("/accounts/password/reset/", {"email": ATTACKER})
    assert "password/reset/key" not in str([everything_in(message) for message in mail.outbox])
    assert theirs.get("/places/").status_code == 302
    assert code_of(token(VICTIM, ATTACKERS_PASSWORD, "acme")) == "credentials_invalid"
    assert code_of(token(ATTACKER, ATTACKERS_PASSWORD, "acme")) == "credentials_invalid"
    assert token(VICTIM, VICTIMS_PASSWORD, "acme").status_code == 200


def test_a_second_address_cannot_recover_an_unverified_account(cast: Cast) -> None:
    registered()
    second_address(User.objects.get(email=VICTIM), ATTACKER)
    mail.outbox.clear()
    Client().post("/accounts/password/reset/", {"email": ATTACKER})
    App().ask("POST", "auth/password/request", {"email": ATTACKER})
    assert mail.outbox == []


def fill(principal: Principal) -> str:
    """Adds every way to get back in; returns the text of an API key."""
    user = User.objects.get(id=principal.user_id)
    second_address(user, ATTACKER)
    SocialAccount.objects.create(user=user, provider="google", uid="attacker")
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    key = api_keys.create_key(
        principal=principal, key=KeyInput(name="Mine", scopes=["chat", "read", "manage"])
    )
    As(Person(principal)).ask("POST", "tenant/invitations", {"emails": ["accomplice@example.net"]})
    As(Person(principal)).ask("PUT", "workspaces/general/link", {})
    robot = api_keys.create_service_account(
        principal=principal, account=ServiceAccountInput(name="Robot", workspace_role="editor")
    )
    api_keys.create_key(
        principal=principal, key=KeyInput(name="Robot's", scopes=["chat"], service_account=robot.id)
    )
    Authenticator.objects.filter(user=user).delete()  # else the API asks for a code
    return key.text


def expect_empty(principal: Principal, key: str) -> None:
    user = User.objects.get(id=principal.user_id)
    assert [row.email for row in EmailAddress.objects.filter(user=user)] == [user.email]
    assert EmailAddress.objects.get(user=user).verified
    assert not SocialAccount.objects.filter(user=user).exists()
    assert not Authenticator.objects.filter(user=user).exists()
    assert not ApiKey.objects.filter(tenant=principal.tenant.id, revoked_at=None).exists()
    assert not Invitation.objects.filter(invited_by=user, revoked_at=None).exists()
    assert not WorkspaceLink.objects.filter(created_by=user, revoked_at=None).exists()
    assert not OwnershipOffer.objects.filter(offered_by=user).exists()
    assert code_of(As(credential=key).ask("GET", "me")) == "token_invalid"
    entry = AuditEntry.objects.get(action="user.unproved_access_removed")
    assert entry.details["addresses"] == [ATTACKER]
    data = everything_in(next(m for m in mails_to(user.email) if "We secured your" in m.subject))
    assert "Mine (sy_" in data


def test_a_reset_by_mail_removes_everything_added_before(cast: Cast) -> None:
    principal = registered()
    key, session = fill(principal), browser(VICTIM, ATTACKERS_PASSWORD)
    old = As(Person(principal))
    reset(VICTIM, VICTIMS_PASSWORD)
    expect_empty(principal, key)
    assert session.get("/places/").status_code == 302
    assert old.ask("GET", "me").status_code == 401


def test_an_authenticator_added_before_is_removed_on_verification(cast: Cast) -> None:
    principal = registered()
    TOTP.activate(User.objects.get(id=principal.user_id), "JBSWY3DPEHPK3PXP")
    reset(VICTIM, VICTIMS_PASSWORD)
    assert token(VICTIM, VICTIMS_PASSWORD).status_code == 200


def test_a_reset_by_an_app_removes_everything_too(cast: Cast) -> None:
    principal = registered()
    key, app = fill(principal), App()
    app.ask("POST", "auth/password/request", {"email": VICTIM})
    secret = path_in(VICTIM, "password/reset/key").rstrip("/").rpartition("/key/")[2]
    app.ask("POST", "auth/password/reset", {"key": secret, "password": VICTIMS_PASSWORD})
    expect_empty(principal, key)


@pytest.mark.parametrize("way", ["page", "api"])
def test_an_accepted_invitation_removes_everything_and_ends_other_sessions(cast: Cast, way: str) -> None:
    principal = registered()
    other = browser(VICTIM, ATTACKERS_PASSWORD)
    key = fill(principal)
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": [VICTIM]})
    link = path_in(VICTIM, "invitations")
    if way == "page":
        here = browser(VICTIM, ATTACKERS_PASSWORD)
        here.get(link)
        assert here.post("/invitations/").url.startswith("/t/acme/")
        assert here.get("/places/").status_code == 200
    else:
        body = {"token": link.rpartition("/")[2], "password": ATTACKERS_PASSWORD}
        assert As().ask("POST", "auth/invitations/accept", body).status_code == 200
    expect_empty(principal, key)
    assert other.get("/places/").status_code == 302


def test_confirming_in_the_own_session_removes_nothing(cast: Cast) -> None:
    principal = registered()
    client = browser(VICTIM, ATTACKERS_PASSWORD)
    key = api_keys.create_key(principal=principal, key=KeyInput(name="Mine", scopes=["read"])).text
    client.post("/accounts/email/", {"email": VICTIM, "action_send": "1"})
    assert client.post(path_in(VICTIM, "confirm-email")).status_code == 302
    assert EmailAddress.objects.get(email=VICTIM).verified
    assert As(credential=key).ask("GET", "me").status_code == 200
    assert client.get("/places/").status_code == 200


def confirmation(principal: Principal) -> str:
    browser(VICTIM, ATTACKERS_PASSWORD).post("/accounts/email/", {"email": VICTIM, "action_send": "1"})
    return path_in(VICTIM, "confirm-email")


def test_confirming_in_another_session_needs_the_password_and_removes_the_rest(cast: Cast) -> None:
    principal = registered()
    link, key = confirmation(principal), fill(principal)
    stranger = Client()
    assert "password" in stranger.get(link).content.decode().lower()
    for form in ({}, {"password": ""}, {"password": "wrong"}):
        assert stranger.post(link, form).status_code == 200
        assert not EmailAddress.objects.get(email=VICTIM).verified
    assert stranger.post(link, {"password": ATTACKERS_PASSWORD}).status_code == 302
    expect_empty(principal, key)
    assert token(VICTIM, ATTACKERS_PASSWORD).status_code == 200


def test_guesses_at_the_confirmation_are_limited(cast: Cast) -> None:
    link, stranger = confirmation(registered()), Client()
    for _ in range(5):
        stranger.post(link, {"password": "wrong"})
    assert "Too many" in stranger.post(link, {"password": ATTACKERS_PASSWORD}).content.decode()


def test_an_app_that_confirms_without_the_password_clears_it(cast: Cast) -> None:
    """It has only the mail, so someone else may have chosen the password."""
    principal = registered()
    link, key = confirmation(principal), fill(principal)
    App().ask("POST", "auth/email/verify", {"key": link.rstrip("/").rpartition("/")[2]})
    expect_empty(principal, key)
    assert code_of(token(VICTIM, ATTACKERS_PASSWORD)) == "credentials_invalid"
    reset(VICTIM, VICTIMS_PASSWORD)
    assert token(VICTIM, VICTIMS_PASSWORD).status_code == 200


@pytest.mark.parametrize("mode", ["optional", "none", "mandatory"])
def test_no_second_address_before_the_first_is_verified(cast: Cast, settings: Any, mode: str) -> None:
    registered()
    client = browser(VICTIM, ATTACKERS_PASSWORD)
    app = App()
    app.ask("POST", "auth/login", {"email": VICTIM, "password": ATTACKERS_PASSWORD})
    app.ask("POST", "auth/reauthenticate", {"password": ATTACKERS_PASSWORD})
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = mode
    client.post("/accounts/email/", {"email": ATTACKER, "action_add": "1"})
    assert app.ask("POST", "account/email", {"email": ATTACKER})["status"] == 400
    assert EmailAddress.objects.filter(user__email=VICTIM).count() == 1
    EmailAddress.objects.filter(email=VICTIM).update(verified=True)
    assert app.ask("POST", "account/email", {"email": ATTACKER})["status"] == 200


def proved(principal: Principal) -> None:
    EmailAddress.objects.update_or_create(
        user_id=principal.user_id, email=principal.email, defaults={"verified": True, "primary": True}
    )


def test_recovering_a_verified_account_only_revokes_its_keys(cast: Cast) -> None:
    proved(cast.alice.principal)
    second_address(cast.alice.user, "alice@home.example.com")
    key = api_keys.create_key(
        principal=cast.alice.principal, key=KeyInput(name="CI", scopes=["chat", "read", "manage"])
    )
    bobs = api_keys.create_key(principal=cast.bob.principal, key=KeyInput(name="Bob's", scopes=["read"]))
    reset("alice@example.com", VICTIMS_PASSWORD)
    assert code_of(As(credential=key.text).ask("GET", "me")) == "token_invalid"
    assert As(credential=bobs.text).ask("GET", "me").status_code == 200
    assert EmailAddress.objects.filter(user=cast.alice.user).count() == 2
    (entry,) = AuditEntry.objects.filter(action="user.keys_revoked_in_recovery")
    assert entry.details["api_keys"] == [f"CI (sy_{key.row.prefix}…)"]
    data = everything_in(next(m for m in mails_to("alice@example.com") if "We secured your" in m.subject))
    assert f"sy_{key.row.prefix}" in data
    page = browser("alice@example.com", VICTIMS_PASSWORD).get("/accounts/keys/").content.decode()
    assert "Revoked" in page
    assert "CI" in page


def test_an_ordinary_password_change_revokes_no_keys(cast: Cast) -> None:
    key = api_keys.create_key(principal=cast.alice.principal, key=KeyInput(name="CI", scopes=["read"]))
    client = browser("alice@example.com", PASSWORD)
    form = {"oldpassword": PASSWORD, "password1": VICTIMS_PASSWORD, "password2": VICTIMS_PASSWORD}
    assert client.post("/accounts/password/change/", form).status_code == 302
    assert As(credential=key.text).ask("GET", "me").status_code == 200


def test_no_account_is_created_with_another_accounts_second_address(cast: Cast) -> None:
    proved(cast.alice.principal)
    second_address(cast.alice.user, VICTIM)
    body = {"email": VICTIM, "password": ATTACKERS_PASSWORD, "name": "M", "tenant_name": "Initech"}
    assert code_of(As().ask("POST", "auth/signup", body)) == "email_taken"
    assert default_principal(user_id=cast.alice.user.id) is not None


def test_sign_ins_at_mcp_servers_are_removed_too(cast: Cast) -> None:
    """The account at the server may be someone else's, who could read the requests."""
    principal = registered()
    with tenant_scope(principal.tenant):
        server = MCPServer.objects.create(
            workspace_id=principal.workspace.id, slug="wiki", auth="oauth", sign_in="member"
        )
        MCPSignIn.objects.create(server=server, user_id=principal.user_id, sealed_access="x")
    reset(VICTIM, VICTIMS_PASSWORD)
    with tenant_scope(principal.tenant):
        assert not MCPSignIn.objects.exists()
