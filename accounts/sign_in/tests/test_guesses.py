"""Limits on wrong passwords and codes, without locking out the account's owner."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.sign_in import guesses
from accounts.sign_in.known_devices import COOKIE
from accounts.sign_in.tests.test_sign_in import App, codes
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.mailbox import path_in
from accounts.tests.requests_as import As, code_of
from kit import request_origin

pytestmark = pytest.mark.django_db
SECRET = "JBSWY3DPEHPK3PXP"
ALICE, OPERATOR = "alice@example.com", "op@example.com"
NEW_PASSWORD = "a quiet harbour at dawn"


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    cache.clear()


def at(address: str) -> Client:
    """A browser with that address."""
    return Client(REMOTE_ADDR=address)


def page(client: Client, password: str, email: str = ALICE) -> bool:
    """Whether it signs in."""
    return bool(client.post("/accounts/login/", {"login": email, "password": password}).status_code == 302)


def rest(client: Client, password: str, email: str = ALICE) -> bool:
    api = As()
    api.client = client
    answer = api.ask("POST", "auth/token", {"email": email, "password": password})
    return bool(answer.status_code == 200)


def app(client: Client, password: str, email: str = ALICE) -> bool:
    app = App()
    app.client = client
    return bool(app.ask("POST", "auth/login", {"email": email, "password": password})["status"] == 200)


WAYS = [page, rest, app]


@pytest.mark.parametrize("way", WAYS)
def test_five_wrong_passwords_block_that_network_and_no_one_else(cast: Cast, way: Any) -> None:
    attacker = "203.0.113.7"
    for _ in range(5):
        assert not way(at(attacker), "wrong")
    assert not way(at(attacker), PASSWORD)
    assert [way(at("198.51.100.4"), PASSWORD) for way in WAYS] == [True, True, True]
    assert not any(way(at(attacker), PASSWORD) for way in WAYS)  # one count for all ways to sign in


def test_a_whole_ipv6_network_is_one_guesser(cast: Cast) -> None:
    for number in range(5):
        page(at(f"2001:db8:1:2::{number}"), "wrong")
    assert not page(at("2001:db8:1:2:ffff::1"), PASSWORD)
    assert page(at("2001:db8:1:3::1"), PASSWORD)


@pytest.mark.parametrize("spelling", ["ALICE@example.com", " alice@example.com", "alice@EXAMPLE.com"])
def test_another_spelling_or_host_gives_no_further_guesses(cast: Cast, settings: Any, spelling: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    for number in range(6):
        client = Client(REMOTE_ADDR="203.0.113.7", HTTP_HOST=f"h{number}.example.test")
        page(client, "wrong", spelling if number % 2 else ALICE)
    assert not page(at("203.0.113.7"), PASSWORD)


def test_a_known_device_is_not_blocked_by_its_network(cast: Cast) -> None:
    known = at("203.0.113.7")
    assert page(known, PASSWORD)
    known.post("/accounts/logout/")
    for number in range(25):  # above the limits of the account here and of the network
        page(at("203.0.113.7"), "wrong", ALICE if number % 2 else f"p{number}@example.com")
    assert not page(at("203.0.113.7"), PASSWORD)
    assert page(known, PASSWORD)


def test_a_known_device_has_no_more_guesses_than_others(cast: Cast) -> None:
    known = at("203.0.113.7")
    page(known, PASSWORD)
    known.post("/accounts/logout/")
    for _ in range(5):
        assert not page(known, "wrong")
    assert not page(known, PASSWORD)
    assert page(at("198.51.100.4"), PASSWORD)


def test_the_device_cookie_is_signed_http_only_and_bound_to_the_account(cast: Cast) -> None:
    client = at("203.0.113.7")
    page(client, PASSWORD)
    cookie = client.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert int(cookie["max-age"]) > 30 * 24 * 3600
    forged = at("192.0.2.1")
    forged.cookies[COOKIE] = cookie.value[:-2] + "xx"
    bobs = at("192.0.2.2")
    bobs.cookies[COOKIE] = cookie.value
    for client, email in ((forged, ALICE), (bobs, "bob@example.com")):
        for _ in range(5):
            page(at(client.defaults["REMOTE_ADDR"]), "wrong", email)
        assert not page(client, PASSWORD, email)


def test_a_browser_is_known_to_two_accounts(cast: Cast) -> None:
    shared = at("203.0.113.7")
    for email in (ALICE, "bob@example.com"):
        assert page(shared, PASSWORD, email)
        shared.post("/accounts/logout/")
    for email in (ALICE, "bob@example.com"):
        for _ in range(5):
            page(at("203.0.113.7"), "wrong", email)
        assert page(shared, PASSWORD, email)
        shared.post("/accounts/logout/")


def test_a_new_password_makes_only_other_devices_unknown(cast: Cast) -> None:
    here, other = at("203.0.113.7"), at("203.0.113.7")
    page(here, PASSWORD)
    page(other, PASSWORD)
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert here.post("/accounts/password/change/", form).status_code == 302
    here.post("/accounts/logout/")
    for _ in range(5):
        page(at("203.0.113.7"), "wrong")
    assert not page(other, NEW_PASSWORD)
    assert page(here, NEW_PASSWORD)


def test_guesses_from_many_networks_are_limited_except_known_networks_and_devices(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guesses.RATES, "password_anywhere", "10/h/key")
    device = at("198.51.100.1")
    page(device, PASSWORD)
    device.post("/accounts/logout/")
    assert rest(at("198.51.100.2"), PASSWORD)
    for number in range(12):
        page(at(f"203.0.113.{number}"), "wrong")
    assert not page(at("192.0.2.1"), PASSWORD)
    device.defaults["REMOTE_ADDR"] = "192.0.2.2"  # in another network
    assert page(device, PASSWORD)
    assert rest(at("198.51.100.2"), PASSWORD)


def test_a_password_reset_unblocks_an_account_under_attack(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guesses.RATES, "password_anywhere", "3/h/key")
    for number in range(4):
        page(at(f"203.0.113.{number}"), "wrong")
    assert not page(at("192.0.2.1"), PASSWORD)
    from_mail = at("192.0.2.1")
    from_mail.post("/accounts/password/reset/", {"email": ALICE})
    where = from_mail.get(path_in(ALICE, "password/reset/key"), follow=True).request["PATH_INFO"]
    from_mail.post(where, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert page(from_mail, NEW_PASSWORD)


def test_tries_from_one_network_are_limited_over_all_accounts(cast: Cast) -> None:
    for number in range(20):
        page(at("203.0.113.7"), "wrong", f"p{number}@example.com")
    assert not page(at("203.0.113.7"), PASSWORD)
    assert page(at("198.51.100.4"), PASSWORD)


def test_reauthentication_shares_the_limit_on_guesses(cast: Cast) -> None:
    client = at("203.0.113.7")
    client.force_login(cast.alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    for _ in range(5):
        client.post("/accounts/reauthenticate/", {"password": "wrong"})
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code != 302
    assert page(at("198.51.100.4"), PASSWORD)


@pytest.fixture
def with_totp(cast: Cast) -> User:
    user = cast.alice.user
    TOTP.activate(user, SECRET)
    RecoveryCodes.activate(user)
    return user


def code_by_page(client: Client, code: str) -> bool:
    page(client, PASSWORD)
    return bool(client.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302)


def code_by_rest(client: Client, code: str) -> bool:
    api = As()
    api.client = client
    body = {"email": ALICE, "password": PASSWORD, "code": code}
    return bool(api.ask("POST", "auth/token", body).status_code == 200)


def code_by_app(client: Client, code: str) -> bool:
    app = App()
    app.client = client
    app.ask("POST", "auth/login", {"email": ALICE, "password": PASSWORD})
    return bool(app.ask("POST", "auth/2fa/authenticate", {"code": code})["status"] == 200)


@pytest.mark.parametrize("way", [code_by_page, code_by_rest, code_by_app])
def test_wrong_codes_block_only_that_network(with_totp: User, way: Any) -> None:
    for _ in range(5):
        assert not way(at("203.0.113.7"), "000000")
    assert not way(at("203.0.113.7"), codes(SECRET)[1])
    assert way(at("198.51.100.4"), codes(SECRET)[1])


@pytest.mark.parametrize("way", [code_by_page, code_by_rest, code_by_app])
def test_a_code_whose_key_is_missing_is_refused(with_totp: User, way: Any, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["another key " * 4]
    assert not way(at("203.0.113.7"), codes(SECRET)[1])
    settings.ENCRYPTION_KEYS = [settings.SECRET_KEY]
    assert way(at("203.0.113.7"), codes(SECRET)[1])


def test_recovery_codes_share_the_limit(with_totp: User) -> None:
    left = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    for _ in range(5):
        code_by_page(at("203.0.113.7"), "wrong-code")
    assert not code_by_page(at("203.0.113.7"), left[0])
    assert code_by_page(at("198.51.100.4"), left[0])


def test_codes_guessed_from_many_networks_are_limited(
    with_totp: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guesses.RATES, "code_anywhere", "6/h/key")
    known = at("198.51.100.1")
    assert code_by_page(known, codes(SECRET)[1])
    known.post("/accounts/logout/")
    for number in range(8):
        code_by_rest(at(f"203.0.113.{number}"), "000000")
    left = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert not code_by_rest(at("192.0.2.1"), left[0])
    assert code_by_page(known, left[1])


def test_the_refusal_explains_the_limit(cast: Cast) -> None:
    client = at("203.0.113.7")
    for _ in range(5):
        page(client, "wrong")
    answer = client.post("/accounts/login/", {"login": ALICE, "password": PASSWORD})
    assert "Too many" in answer.content.decode()
    api = As()
    api.client = client
    refused = api.ask("POST", "auth/token", {"email": ALICE, "password": PASSWORD})
    assert (refused.status_code, code_of(refused)) == (429, "rate_limited")
    assert request_origin.current().address == "203.0.113.7"
