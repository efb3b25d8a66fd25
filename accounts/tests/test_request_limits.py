"""Requests a minute of one person or key, wherever they come in; and a cache that fails limits nobody."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import cache
from django.template.loader import render_to_string
from django.test import Client

from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.requests_as import As, code_of
from accounts.tests.test_api_keys import make
from kit import rates
from kit.errors import RateLimited
from kit.rates import spend
from kit.shared_cache import ForgivingRedisCache, Outage
from kit.tests.clock import StoppedClock
from kit.tests.ports import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(monkeypatch: Any) -> StoppedClock:
    """The minute that a test begins in does not end within it."""
    clock = StoppedClock()
    monkeypatch.setattr(rates, "time", clock)
    return clock


def test_a_persons_token_is_slowed_down_and_told_when_to_come_back(cast: Cast, settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = 3
    bob = As(cast.bob)
    assert [bob.ask("GET", "me").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = bob.ask("GET", "me")
    assert code_of(refused) == "rate_limited"
    assert 0 < int(refused["Retry-After"]) <= 60
    assert (refused["x-ratelimit-limit-requests"], refused["x-ratelimit-remaining-requests"]) == ("3", "0")
    assert refused["x-ratelimit-reset-requests"].endswith("s")
    assert As(cast.alice).ask("GET", "me").status_code == 200


def test_pages_tokens_and_apps_of_one_person_are_one_count(cast: Cast, settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = 5
    browser = Client()
    browser.force_login(cast.bob.user)
    bob = As(cast.bob)
    assert browser.get("/accounts/profile/").status_code == 200
    assert bob.ask("GET", "me").status_code == 200
    app = Client().post(
        "/_allauth/app/v1/auth/login",
        {"email": "bob@example.com", "password": PASSWORD},
        content_type="application/json",
    )
    token = {"X-Session-Token": app.json()["meta"]["session_token"]}
    session = "/_allauth/app/v1/auth/session"
    assert [Client().get(session, headers=token).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert Client().get(session, headers=token).json()["error"]["code"] == "rate_limited"
    assert bob.ask("GET", "me").status_code == 429
    page = browser.get("/t/acme/w/sales/chat/")
    assert (page.status_code, page["Content-Type"].split(";")[0]) == (429, "text/html")
    assert "Too many requests" in page.content.decode()
    assert 0 < int(page["Retry-After"]) <= 60


@pytest.mark.parametrize(("seconds", "wait"), [(1, "1 second."), (12, "12 seconds.")])
def test_the_page_says_how_long_to_wait(seconds: int, wait: str) -> None:
    page = render_to_string("429.html", {"error": RateLimited(retry_after=seconds), "request_id": "x"})
    assert f"Try again in {wait}" in page


def test_a_key_is_counted_by_itself(cast: Cast, settings: Any) -> None:
    key = As(credential=make(cast.bob, "read"))
    settings.REQUESTS_PER_MINUTE, settings.API_KEY_REQUESTS_PER_MINUTE = 1, 2
    assert [key.ask("GET", "me").status_code for _ in range(3)] == [200, 200, 429]


def test_strangers_and_wrong_keys_use_up_nobodys_count(cast: Cast, settings: Any) -> None:
    key = make(cast.bob, "read")
    settings.API_KEY_REQUESTS_PER_MINUTE = 1
    for _ in range(3):
        assert As(credential=key[:-1] + "x").ask("GET", "me").status_code == 401
    assert As(credential=key).ask("GET", "me").status_code == 200


def test_a_count_costs_no_write_to_the_database(cast: Cast, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        for _ in range(5):
            spend("person:x", 5)
        with pytest.raises(RateLimited):
            spend("person:x", 5)


def test_the_next_minute_begins_anew(clock: StoppedClock) -> None:
    spend("x", 1)
    with pytest.raises(RateLimited):
        spend("x", 1)
    clock.moment += 60
    spend("x", 1)


def test_many_at_once_count_exactly(cast: Cast) -> None:
    def one(_: int) -> bool:
        try:
            spend("crowd", 50)
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(80))) == 50


@pytest.fixture
def broken(monkeypatch: Any) -> ForgivingRedisCache:
    """A cache in a Redis that is not there."""
    monkeypatch.setattr(ForgivingRedisCache, "outage", Outage())
    gone = ForgivingRedisCache(f"redis://127.0.0.1:{free_port()}/0", {})
    monkeypatch.setattr(rates, "cache", gone)
    return gone


def test_a_cache_that_is_gone_limits_nobody_and_says_so_once(
    cast: Cast, settings: Any, broken: ForgivingRedisCache, caplog: Any
) -> None:
    settings.REQUESTS_PER_MINUTE = 1
    begun = time.monotonic()
    assert [As(cast.bob).ask("GET", "me").status_code for _ in range(20)] == [200] * 20
    assert time.monotonic() - begun < 5
    assert caplog.text.count("limits are not counted") == 1


def test_a_cache_that_is_gone_is_as_if_empty(broken: ForgivingRedisCache) -> None:
    broken.set("a", 1)
    assert broken.get("a", "nothing") == "nothing"
    assert (broken.add("a", 1), broken.delete("a"), broken.has_key("a"), broken.get_many(["a"])) == (
        True,
        False,
        False,
        {},
    )
    with pytest.raises(ValueError, match="not found"):
        broken.incr("a")
    assert cache.get("a") is None
