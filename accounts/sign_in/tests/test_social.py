"""Sign-in with a real OpenID Connect issuer, run by a library, over real requests."""

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import oidc_provider_mock
import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from accounts.models import AuditEntry, User
from accounts.tests.cast import PASSWORD, Cast
from config import oauth

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/oidc/acme-id/login/"


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    cache.clear()


@pytest.fixture
def issuer(settings: Any) -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        url = f"http://localhost:{server.server_port}"
        settings.SOCIALACCOUNT_PROVIDERS = providers(url)
        yield url


def providers(url: str, **more: Any) -> dict[str, dict[str, Any]]:
    entry = {
        "id": "acme-id",
        "name": "Acme ID",
        "issuer": url,
        "client_id": "switchyard",
        "client_secret": "s3cret",
        **more,
    }
    return oauth.providers(
        google=None, github=None, microsoft=None, microsoft_tenant="common", issuers=[entry]
    )


def person_at(issuer: str, subject: str, **claims: Any) -> None:
    httpx.put(f"{issuer}/users/{subject}", json=claims).raise_for_status()


def go_through(client: Client, subject: str, process: str = "login") -> Any:
    """As a browser: our page redirects, the issuer signs in, its callback returns."""
    page = client.post(f"{LOGIN}?process={process}")
    assert page.status_code == 200, page
    found = re.search(r"url=([^\"]+)\"", page.content.decode())
    assert found
    issuer_url = html.unescape(found[1])
    back = httpx.post(issuer_url, data={"sub": subject}).headers["location"]
    parts = urlsplit(back)
    return client.get(f"{parts.path}?{parts.query}")


def test_the_page_has_a_button_for_it(issuer: str, client: Client) -> None:
    assert "Sign in with Acme ID" in client.get("/accounts/login/").content.decode()


def test_a_new_person_gets_an_account_and_creates_a_team(issuer: str, client: Client) -> None:
    person_at(issuer, "erin", email="erin@example.com", email_verified=True, name="Erin <b>E</b>")
    answer = go_through(client, "erin")
    assert answer.status_code == 302, answer.content
    erin = User.objects.get(email="erin@example.com")
    assert erin.name == "Erin <b>E</b>"
    assert EmailAddress.objects.get(user=erin).verified
    assert "not in a workspace yet" in client.get("/places/").content.decode()
    made = client.post("/places/new", {"name": "Initech"})
    assert made.url == "/t/initech/w/general/chat/"
    assert client.get(made.url).status_code == 200
    assert AuditEntry.objects.filter(action="user.signed_in", actor_id=erin.id).exists()


def test_the_second_sign_in_finds_the_same_account(issuer: str, client: Client) -> None:
    person_at(issuer, "erin", email="erin@example.com", email_verified=True)
    go_through(client, "erin")
    go_through(Client(), "erin")
    assert SocialAccount.objects.count() == 1
    assert User.objects.filter(email="erin@example.com").count() == 1


def test_an_account_with_a_verified_address_is_connected(issuer: str, client: Client, cast: Cast) -> None:
    EmailAddress.objects.filter(user=cast.alice.user).update(verified=True)
    person_at(issuer, "al", email="alice@example.com", email_verified=True)
    go_through(client, "al")
    assert client.get("/").url == "/t/acme/w/sales/chat/"
    assert SocialAccount.objects.get().user == cast.alice.user


@pytest.mark.parametrize(("ours", "theirs"), [(False, True), (True, False)])
def test_an_address_unverified_on_either_side_connects_nothing(
    issuer: str, client: Client, cast: Cast, ours: bool, theirs: bool
) -> None:
    """Otherwise anyone who claims an address at an issuer could sign in as its owner."""
    EmailAddress.objects.filter(user=cast.alice.user).update(verified=ours)
    person_at(issuer, "mallory", email="alice@example.com", email_verified=theirs)
    go_through(client, "mallory")
    assert not SocialAccount.objects.filter(user=cast.alice.user).exists()
    assert client.get("/").url.startswith("/accounts/login/")


def test_a_connection_is_added_by_its_owner(issuer: str, client: Client, cast: Cast) -> None:
    EmailAddress.objects.filter(user=cast.alice.user).update(verified=True)
    client.force_login(cast.alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    person_at(issuer, "al", email="other@example.com", email_verified=True)
    assert "Connect Acme ID" in client.get("/accounts/3rdparty/").content.decode()
    go_through(client, "al", process="connect")
    assert SocialAccount.objects.get().user == cast.alice.user
    assert AuditEntry.objects.filter(action="user.connection_added").exists()


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?code=x&state=y", "?error=access_denied&state=%00", "?state=%ED%A0%80"]
)
def test_an_unrequested_callback_signs_no_one_in(issuer: str, client: Client, query: str) -> None:
    answer = client.get(f"{LOGIN}callback/{query}")
    assert answer.status_code < 500
    assert client.get("/").url.startswith("/accounts/login/")


def test_an_unavailable_issuer_gets_an_error_page(settings: Any, client: Client) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = providers("http://localhost:1")
    answer = client.post(LOGIN)
    assert answer.status_code < 500
    assert "Sign-in failed" in answer.content.decode()


def test_an_unknown_issuer_is_not_found(issuer: str, client: Client) -> None:
    assert client.post("/accounts/oidc/other/login/").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://example.com"},
        {"issuer": "https://example.com/?x"},
        {"id": "google"},
        {"id": "Acme ID"},
        {"name": ""},
        {"client_secret": 7},
        {"surprise": 1},
        {"trust_email": "yes"},
    ],
)
def test_a_wrong_configuration_is_refused_without_showing_its_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        providers("https://id.example.com", **wrong)
    assert "s3cret" not in str(raised.value)
