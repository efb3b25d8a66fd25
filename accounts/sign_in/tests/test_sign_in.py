"""Sign-in on the web: verification, reset, two-factor authentication, sessions, limits."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts.models import AuditEntry, Refusal, User
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "a quiet harbour at dawn"


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    cache.clear()


def sign_in(client: Client, email: str = "alice@example.com", password: str = PASSWORD) -> Any:
    return client.post("/accounts/login/", {"login": email, "password": password})


def confirm(client: Client) -> None:
    """Sends the password again, as sensitive actions require."""
    assert client.get("/accounts/2fa/totp/activate/").url.startswith("/accounts/reauthenticate/")
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302


def mailed_link(part: str) -> str:
    found = re.search(rf"https?://[^/]+(/\S*{part}\S*)", str(mail.outbox[-1].body))
    assert found, mail.outbox[-1].body
    return found[1]


def codes(secret: str) -> list[str]:
    """The codes around now, the current one in the middle."""
    return [format_hotp_value(hotp_value(secret, counter)) for counter in yield_hotp_counters_from_time()]


def proved(email: str = "alice@example.com") -> User:
    user = User.objects.get(email=email)
    found, _ = EmailAddress.objects.get_or_create(user=user, email=email, defaults={"primary": True})
    EmailAddress.objects.filter(pk=found.pk).update(verified=True)
    return user


@pytest.fixture
def with_totp(cast: Cast, client: Client) -> str:
    """alice sets up an authenticator app; returns its secret."""
    proved()
    sign_in(client)
    confirm(client)
    page = client.get("/accounts/2fa/totp/activate/")
    found = re.search(r'data-testid="totp-secret">(\w+)<', page.content.decode())
    assert found, page.content.decode()[-2000:]
    secret = found[1]
    answer = client.post("/accounts/2fa/totp/activate/", {"code": codes(secret)[1]})
    assert answer.status_code == 302
    cache.clear()  # the setup used up the current codes
    client.logout()
    return secret


def test_an_address_is_verified_by_the_mailed_link(client: Client) -> None:
    form = {"name": "Erin", "email": "Erin@Example.com", "password1": PASSWORD, "tenant_name": "Initech"}
    assert client.post("/accounts/signup/", form).status_code == 302
    address = EmailAddress.objects.get(email="erin@example.com")
    assert not address.verified
    link = mailed_link("confirm-email")
    assert "Confirm" in client.get(link).content.decode()
    assert client.post(link).status_code == 302
    address.refresh_from_db()
    assert address.verified


def test_mandatory_verification_comes_before_access(client: Client, settings: Any, cast: Cast) -> None:
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    assert "confirm-email" in sign_in(client).url
    assert code_of(token(As())) == "address_unverified"
    assert client.post(mailed_link("confirm-email")).status_code == 302
    assert token(As()).status_code == 200


def test_mandatory_verification_hides_which_addresses_have_accounts(settings: Any, cast: Cast) -> None:
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    body = {"password": PASSWORD, "name": "X", "tenant_name": "Initech"}
    new = As().ask("POST", "auth/signup", {**body, "email": "erin@example.com"})
    known = As().ask("POST", "auth/signup", {**body, "email": "alice@example.com"})
    assert (new.status_code, new.json()) == (202, {"verification": "sent"})
    assert (known.status_code, known.json()) == (new.status_code, new.json())
    assert [message.to for message in mail.outbox] == [["erin@example.com"], ["alice@example.com"]]
    assert "You already have an account" in mail.outbox[1].subject


def token(api: As, **more: str) -> Any:
    return api.ask("POST", "auth/token", {"email": "alice@example.com", "password": PASSWORD, **more})


def test_a_forgotten_password_is_reset_by_mail(client: Client, cast: Cast) -> None:
    old = As(cast.alice)
    client.post("/accounts/password/reset/", {"email": "alice@example.com"})
    page = client.get(mailed_link("password/reset/key"), follow=True)
    where = page.request["PATH_INFO"]
    answer = client.post(where, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert answer.status_code == 302
    assert old.ask("GET", "tenant").status_code == 401
    assert sign_in(Client()).status_code == 200
    assert sign_in(Client(), password=NEW_PASSWORD).status_code == 302
    assert AuditEntry.objects.filter(action="user.password_reset").exists()


def test_a_reset_request_hides_which_addresses_have_accounts(client: Client, cast: Cast) -> None:
    known = client.post("/accounts/password/reset/", {"email": "alice@example.com"})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    wrong = sign_in(client, password="wrong").content.decode()
    unknown_person = sign_in(client, email="nobody@example.com").content.decode()
    wrong_credentials = "The email address and/or password you specified are not correct."
    assert wrong_credentials in wrong
    assert wrong_credentials in unknown_person


def test_guesses_are_limited(client: Client, cast: Cast) -> None:
    for _ in range(5):
        sign_in(client, password="wrong")
    assert "Too many" in sign_in(client).content.decode()
    entries = AuditEntry.objects.filter(action="user.sign_in_refused").count()
    repeats = sum(Refusal.objects.values_list("repeats", flat=True))  # of the current minute
    assert (entries < 3, entries + repeats) == (True, 5)


def test_a_code_is_required(with_totp: str, client: Client) -> None:
    answer = sign_in(client)
    assert answer.url.startswith("/accounts/2fa/authenticate")
    assert client.get("/").status_code == 302
    assert "code" in client.post("/accounts/2fa/authenticate/", {"code": "000000"}).context["form"].errors
    assert client.post("/accounts/2fa/authenticate/", {"code": codes(with_totp)[1]}).url == "/"
    assert AuditEntry.objects.filter(action="user.totp_added").exists()
    assert AuditEntry.objects.filter(action="user.code_refused").exists()


def test_a_code_works_once(with_totp: str, client: Client) -> None:
    code = codes(with_totp)[1]
    sign_in(client)
    assert client.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302
    other = Client()
    sign_in(other)
    assert other.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 200


def test_the_api_requires_a_code(with_totp: str) -> None:
    assert code_of(token(As())) == "second_step_required"
    assert code_of(token(As(), code="000000")) == "credentials_invalid"
    assert token(As(), code=codes(with_totp)[1]).status_code == 200


def test_a_recovery_code_works_once(with_totp: str) -> None:
    codes_left = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert len(codes_left) == 10
    assert token(As(), code=codes_left[0]).status_code == 200
    assert code_of(token(As(), code=codes_left[0])) == "credentials_invalid"


def test_the_two_factor_secret_is_sealed(with_totp: str) -> None:
    assert with_totp not in str(list(Authenticator.objects.values_list("data", flat=True)))


def test_two_factor_setup_needs_a_verified_address(client: Client, cast: Cast) -> None:
    """Otherwise anyone who signs up with another person's address could lock them out."""
    EmailAddress.objects.filter(user=cast.alice.user).update(verified=False)
    sign_in(client)
    assert client.get("/accounts/2fa/totp/activate/").url == "/accounts/2fa/"
    client.post("/accounts/2fa/totp/activate/", {"code": "000000"})
    assert not Authenticator.objects.exists()


def test_a_new_password_ends_other_sessions_and_tokens(client: Client, cast: Cast) -> None:
    other, tokens = Client(), As(cast.alice)
    sign_in(client)
    sign_in(other)
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post("/accounts/password/change/", form).status_code == 302
    assert client.get("/places/").status_code == 200
    assert other.get("/places/").status_code == 302
    assert tokens.ask("GET", "tenant").status_code == 401
    assert "password" in mail.outbox[-1].subject.lower()


def test_sessions_are_listed_and_ended(client: Client, cast: Cast) -> None:
    other = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0"})
    sign_in(client)
    sign_in(other)
    other.get("/places/")
    page = client.get("/accounts/sessions/").content.decode()
    assert "Firefox on Linux" in page
    row = UserSession.objects.get(user_agent__contains="Firefox")
    assert Client().post(f"/accounts/sessions/{row.pk}/end").status_code == 302
    assert client.post(f"/accounts/sessions/{row.pk}/end").status_code == 302
    assert other.get("/places/").status_code == 302
    assert AuditEntry.objects.get(action="user.session_ended").target == "Firefox on Linux"


def test_signing_out_everywhere_else_ends_tokens_too(client: Client, cast: Cast) -> None:
    tokens, other = As(cast.alice), Client()
    sign_in(client)
    sign_in(other)
    assert client.post("/accounts/sessions/end-others").status_code == 302
    assert client.get("/places/").status_code == 200
    assert other.get("/places/").status_code == 302
    assert tokens.ask("GET", "tenant").status_code == 401


def test_another_persons_session_cannot_be_ended(client: Client, cast: Cast) -> None:
    bob = Client()
    sign_in(client)
    sign_in(bob, email="bob@example.com")
    client.get("/places/")
    row = UserSession.objects.get(user=cast.alice.user)
    assert bob.post(f"/accounts/sessions/{row.pk}/end").status_code == 404


class App:
    """An app at allauth's own routes for apps: JSON, and a session token in a header."""

    def __init__(self) -> None:
        self.client, self.session = Client(), ""

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Session-Token": self.session} if self.session else {}
        answer = self.client.generic(
            method,
            f"/_allauth/app/v1/{path}",
            data=As.text(body),
            content_type="application/json",
            headers=headers,
        ).json()
        self.session = (answer.get("meta") or {}).get("session_token") or self.session
        return answer


def test_an_app_signs_in_with_a_code_and_gets_our_tokens(with_totp: str) -> None:
    app = App()
    first = app.ask("POST", "auth/login", {"email": "alice@example.com", "password": PASSWORD})
    assert first["status"] == 401
    assert "mfa_authenticate" in [flow["id"] for flow in first["data"]["flows"]]
    done = app.ask("POST", "auth/2fa/authenticate", {"code": codes(with_totp)[1]})
    assert done["status"] == 200
    api = As(credential=done["meta"]["access_token"])
    assert api.ask("GET", "tenant").json()["id"] == "acme"
    fresh = api.ask("POST", "auth/token/refresh", {"refresh": done["meta"]["refresh_token"]})
    assert fresh.status_code == 200
    UserSession.objects.get(user__email="alice@example.com").end()
    assert api.ask("POST", "auth/token/refresh", {"refresh": fresh.json()["refresh"]}).status_code == 401


def test_an_app_signs_up_verifies_the_address_and_creates_a_team(db: None) -> None:
    app = App()
    assert (
        app.ask("POST", "auth/signup", {"email": "Erin@Example.com", "password": PASSWORD})["status"] == 200
    )
    key = mailed_link("confirm-email").rstrip("/").rpartition("/")[2]
    assert app.ask("POST", "auth/email/verify", {"key": key})["status"] == 200
    assert EmailAddress.objects.get(email="erin@example.com").verified
    headers = {"X-Session-Token": app.session}
    for name in ("", "x" * 101):
        assert As().ask("POST", "auth/team", {"name": name}, **headers).status_code == 422
    begun = As().ask("POST", "auth/team", {"name": "Initech"}, **headers)
    assert (begun.status_code, begun.json()["tenantId"]) == (201, "initech")
    assert As(credential=begun.json()["access"]).ask("GET", "tenant").json()["role"] == "owner"
    assert As().ask("POST", "auth/team", {"name": "Initech"}).status_code in {401, 403}


def test_an_app_resets_a_password_by_mail(cast: Cast) -> None:
    app, old = App(), As(cast.alice)
    assert app.ask("POST", "auth/password/request", {"email": "alice@example.com"})["status"] in {200, 401}
    key = mailed_link("password/reset/key").rstrip("/").rpartition("/key/")[2]
    app.ask("POST", "auth/password/reset", {"key": key, "password": NEW_PASSWORD})
    assert old.ask("GET", "tenant").status_code == 401
    assert token(As(), password=NEW_PASSWORD).status_code == 200


@pytest.mark.parametrize(
    "credential", ["{}", '{"id": "x"}', "[]", '"x"', "null", '{"id":"\\u0000","response":{}}']
)
def test_an_invalid_passkey_is_refused(client: Client, cast: Cast, credential: str) -> None:
    page = client.post("/accounts/2fa/webauthn/login/", {"credential": credential})
    assert page.status_code in {200, 302}
    proved()
    sign_in(client)
    confirm(client)
    form = {"name": "x", "passwordless": "on", "credential": credential}
    assert client.post("/accounts/2fa/webauthn/add/", form).status_code in {200, 302}
    assert not Authenticator.objects.exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("auth/login", {"email": "alice@example.com", "password": "p"}),
        ("auth/password/request", {"email": "alice@example.com"}),
        ("auth/2fa/authenticate", {"code": "123456"}),
        ("auth/signup", {"email": "new@example.com", "password": "p"}),
    ],
)
def test_unknown_fields_of_apps_are_refused_by_name(client: Client, path: str, body: dict[str, str]) -> None:
    answer = client.post(f"/_allauth/app/v1/{path}", {**body, "remember": True}, "application/json")
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], list(error["details"])) == ("invalid_input", ["remember"])
    assert f"Known fields: {min(body)}" in error["details"]["remember"][0]
