"""Sign-up by the API: a taken address cannot be told from a free one, not even by time."""

import time
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts.models import Founding, Tenant, User
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.mailbox import mails_to
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db
INPUT = {"password": PASSWORD, "name": "X", "tenant_name": "Initech"}


@pytest.fixture
def production(settings: Any) -> Any:
    cache.clear()
    settings.DEVELOPMENT = False
    return settings


def sign_up(email: str, **more: str) -> Any:
    return As().ask("POST", "auth/signup", {**INPUT, "email": email, **more})


@pytest.mark.parametrize("mode", ["optional", "mandatory"])
def test_a_taken_address_gets_the_response_of_a_free_one(cast: Cast, production: Any, mode: str) -> None:
    production.EMAIL_VERIFICATION = production.ACCOUNT_EMAIL_VERIFICATION = mode
    before = (User.objects.count(), Tenant.objects.count())
    known, new = sign_up("Alice@example.com"), sign_up("erin@example.com")
    assert (
        (known.status_code, known.json()) == (new.status_code, new.json()) == (202, {"verification": "sent"})
    )
    assert set(known.headers) == set(new.headers)
    assert (User.objects.count(), Tenant.objects.count()) == (before[0] + 1, before[1] + 1)
    assert [message.subject for message in mails_to("alice@example.com")] == ["You already have an account"]
    assert not User.objects.filter(email__endswith=".invalid").exists()
    wrong = [sign_up(email, password="short") for email in ("alice@example.com", "fred@example.com")]
    assert [answer.status_code for answer in wrong] == [422, 422]
    assert len({answer.json()["error"]["message"] for answer in wrong}) == 1


@pytest.mark.parametrize("email", ["alice@example.com", "erin@example.com"])
def test_the_limit_of_a_network_counts_a_taken_address_like_a_free_one(
    cast: Cast, production: Any, email: str
) -> None:
    production.EMAIL_VERIFICATION = production.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    Founding.objects.all().delete()
    production.TEAMS_PER_NETWORK_PER_DAY = 1
    assert [sign_up(email).status_code, sign_up("fred@example.com").status_code] == [202, 429]


def test_with_optional_verification_sign_in_works_immediately(cast: Cast, production: Any) -> None:
    production.EMAIL_VERIFICATION = production.ACCOUNT_EMAIL_VERIFICATION = "optional"
    sign_up("erin@example.com")
    tokens = As().ask("POST", "auth/token", {"email": "erin@example.com", "password": PASSWORD})
    assert (tokens.status_code, tokens.json()["tenantId"]) == (200, "initech")


@pytest.mark.parametrize(("mode", "development"), [("none", False), ("none", True), ("optional", True)])
def test_without_mail_or_in_development_the_response_has_tokens(
    cast: Cast, settings: Any, mode: str, development: bool
) -> None:
    settings.DEVELOPMENT = development
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = mode
    assert sign_up("erin@example.com").json()["tenantId"] == "initech"
    assert code_of(sign_up("alice@example.com")) == "email_taken"
    assert not mails_to("alice@example.com")


def test_the_page_does_the_same_work_for_a_taken_address(
    cast: Cast, production: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it hides which addresses have accounts, the whole work is done and undone."""
    production.EMAIL_VERIFICATION = production.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    production.SECURE_SSL_REDIRECT = False
    before = (User.objects.count(), Tenant.objects.count())
    form = {"name": "X", "password1": PASSWORD, "tenant_name": "Initech", "workspace_name": "General"}
    known = Client().post("/accounts/signup/", {**form, "email": "alice@example.com"})
    assert (User.objects.count(), Tenant.objects.count()) == before
    new = Client().post("/accounts/signup/", {**form, "email": "erin@example.com"})
    assert (known.status_code, known.url) == (new.status_code, new.url)
    assert len(mail.outbox) == 2


@pytest.mark.slow
@pytest.mark.alone
def test_the_response_time_does_not_reveal_an_account(cast: Cast, production: Any) -> None:
    """With production's hasher; the fastest of alternating sign-ups, which other work delayed least."""
    production.EMAIL_VERIFICATION = production.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    production.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    took: dict[bool, list[float]] = {True: [], False: []}
    for number in range(24):
        known = number % 2 == 0
        cache.clear()
        email = "alice@example.com" if known else f"p{number}@example.com"
        start = time.perf_counter()
        assert sign_up(email).status_code == 202
        took[known].append(time.perf_counter() - start)
    assert 0.75 < min(took[True]) / min(took[False]) < 1.33, took
