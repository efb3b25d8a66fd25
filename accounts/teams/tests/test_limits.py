"""Limits on teams founded by one person, and from one network in a day."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Founding, Membership, Tenant, User
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.requests_as import As
from kit.networks import network_of
from workspaces.onboarding import open_tenant_for

pytestmark = pytest.mark.django_db
ERIN = {"email": "erin@example.com", "password": PASSWORD, "name": "Erin", "tenant_name": "Initech"}


def sign_up(address: str, email: str = "erin@example.com") -> Any:
    return Client(REMOTE_ADDR=address).post(
        "/v1/auth/signup", data={**ERIN, "email": email}, content_type="application/json"
    )


def found(user: User, name: str = "Another") -> Any:
    client = Client()
    client.force_login(user)
    return client.post("/places/new", {"name": name}, follow=True)


def founded(user: User) -> int:
    return Tenant.objects.filter(founder_id=user.id).count()


def test_a_person_founds_a_limited_number_of_teams(cast: Cast, settings: Any) -> None:
    settings.TEAMS_PER_PERSON = 2
    charlie = cast.charlie.user
    found(charlie)
    assert founded(charlie) == 2
    assert "You have created 2 teams, the maximum per person." in found(charlie).content.decode()
    assert founded(charlie) == 2


def test_a_team_passed_on_still_counts(cast: Cast, settings: Any) -> None:
    settings.TEAMS_PER_PERSON = 1
    Membership.objects.filter(user=cast.charlie.user).update(role=Membership.Role.ADMIN)
    found(cast.charlie.user)
    assert founded(cast.charlie.user) == 1


def test_operators_create_teams_beyond_the_limit(cast: Cast, settings: Any) -> None:
    settings.TEAMS_PER_PERSON = settings.TEAMS_PER_NETWORK_PER_DAY = 1
    open_tenant_for(email="charlie@example.com", name="", tenant_name="Initech", workspace_name="Lab")
    assert founded(cast.charlie.user) == 1
    assert cast.charlie.user.memberships.count() == 2


def test_a_network_founds_a_limited_number_of_teams_a_day(cast: Cast, settings: Any) -> None:
    settings.TEAMS_PER_NETWORK_PER_DAY = 2
    assert sign_up("2001:db8:1:2::1", "a@example.com").status_code == 201
    assert sign_up("2001:db8:1:2:ffff::9", "b@example.com").status_code == 201
    refused = sign_up("2001:db8:1:2:aaaa::3", "c@example.com")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert 86_000 < int(refused["Retry-After"]) <= 86_400
    assert not User.objects.filter(email="c@example.com").exists()
    assert sign_up("2001:db8:1:3::1", "d@example.com").status_code == 201
    Founding.objects.filter(network="2001:db8:1:2::/64").update(at=timezone.now() - timedelta(days=2))
    assert sign_up("2001:db8:1:2::1", "e@example.com").status_code == 201


def test_a_refused_network_learns_nothing_about_addresses(cast: Cast, settings: Any) -> None:
    settings.TEAMS_PER_NETWORK_PER_DAY = 1
    assert sign_up("203.0.113.7").status_code == 201
    answers = [sign_up("203.0.113.7", email) for email in ("alice@example.com", "new@example.com")]
    assert [answer.status_code for answer in answers] == [429, 429]
    form = {"email": "", "password1": PASSWORD, "name": "X", "tenant_name": "X"}
    pages = [
        Client(REMOTE_ADDR="203.0.113.7").post("/accounts/signup/", {**form, "email": email})
        for email in ("alice@example.com", "new@example.com")
    ]
    assert all("Too many teams were created" in page.content.decode() for page in pages)
    assert User.objects.filter(email="new@example.com").count() == 0


def test_sign_ups_per_minute_are_counted_by_network(cast: Cast, settings: Any) -> None:
    settings.THROTTLE_PER_MINUTE = {**settings.THROTTLE_PER_MINUTE, "signup": 2}
    statuses = [
        sign_up(f"2001:db8:5:6:{number}::1", f"p{number}@example.com").status_code for number in range(3)
    ]
    assert statuses == [201, 201, 429]
    assert sign_up("2001:db8:5:7::1", "p9@example.com").status_code == 201


def test_an_ipv4_address_is_one_network_however_it_is_written(cast: Cast, settings: Any) -> None:
    settings.THROTTLE_PER_MINUTE = {**settings.THROTTLE_PER_MINUTE, "signup": 1}
    assert sign_up("::ffff:203.0.113.8", "a@example.com").status_code == 201
    assert sign_up("203.0.113.8", "b@example.com").status_code == 429
    assert sign_up("::ffff:203.0.113.9", "c@example.com").status_code == 201


def test_pages_count_each_ipv4_address_separately_however_it_is_written(cast: Cast) -> None:
    """Mapped addresses share a /64, so one of them could use up everyone's tries."""
    wrong = {"login": "nobody@example.com", "password": "guess"}
    for number in range(31):
        Client(REMOTE_ADDR="::ffff:203.0.113.10").post(
            "/accounts/login/", {**wrong, "login": f"p{number}@example.com"}
        )
    other = Client(REMOTE_ADDR="::ffff:203.0.113.11").post(
        "/accounts/login/", {"login": "bob@example.com", "password": PASSWORD}
    )
    assert other.status_code == 302


def test_behind_a_proxy_the_address_added_by_the_proxy_counts(cast: Cast, settings: Any) -> None:
    settings.BEHIND_PROXY = True
    settings.THROTTLE_PER_MINUTE = {**settings.THROTTLE_PER_MINUTE, "token": 1}
    bodies = {"email": "nobody@example.com", "password": "x"}
    statuses = [
        As().ask("POST", "auth/token", bodies, **{"X-Forwarded-For": chain}).status_code
        for chain in ("203.0.113.1", "198.51.100.9, 203.0.113.1", "203.0.113.1, 203.0.113.2")
    ]
    assert statuses == [401, 429, 401]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("no address", "no address"),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network
