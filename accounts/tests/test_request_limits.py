"""Requests per minute of one person or key, over all entry points, also without the shared cache."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from allauth.core.internal import ratelimit
from django.core.cache import cache
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.keys.tests.test_api_keys import make
from accounts.sign_in import guesses, sessions
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.requests_as import As, code_of
from kit import rate_limits
from kit.errors import RateLimited
from kit.rate_limits import spend
from kit.redis_access import Outage
from kit.shared_cache import ForgivingRedisCache
from kit.tests.clock import StoppedClock
from kit.tests.ports import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(monkeypatch: Any) -> StoppedClock:
    """The minute in which a test starts does not end within it."""
    clock = StoppedClock()
    monkeypatch.setattr(rate_limits, "time", clock)
    return clock


def test_a_persons_token_is_limited_with_retry_after(cast: Cast, settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = 3
    bob = As(cast.bob)
    assert [bob.ask("GET", "me").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = bob.ask("GET", "me")
    assert code_of(refused) == "rate_limited"
    assert 0 < int(refused["Retry-After"]) <= 60
    assert (refused["x-ratelimit-limit-requests"], refused["x-ratelimit-remaining-requests"]) == ("3", "0")
    assert refused["x-ratelimit-reset-requests"].endswith("s")
    assert As(cast.alice).ask("GET", "me").status_code == 200


def test_pages_tokens_and_apps_of_one_person_share_a_count(cast: Cast, settings: Any) -> None:
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
def test_the_page_shows_how_long_to_wait(seconds: int, wait: str) -> None:
    page = render_to_string("429.html", {"error": RateLimited(retry_after=seconds), "request_id": "x"})
    assert f"Try again in {wait}" in page


def test_a_key_has_its_own_count(cast: Cast, settings: Any) -> None:
    key = As(credential=make(cast.bob, "read"))
    settings.REQUESTS_PER_MINUTE, settings.API_KEY_REQUESTS_PER_MINUTE = 1, 2
    assert [key.ask("GET", "me").status_code for _ in range(3)] == [200, 200, 429]


def test_strangers_and_wrong_keys_use_up_no_ones_count(cast: Cast, settings: Any) -> None:
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


def test_the_next_minute_starts_a_new_count(clock: StoppedClock) -> None:
    spend("x", 1)
    with pytest.raises(RateLimited):
        spend("x", 1)
    clock.moment += 60
    spend("x", 1)


def test_concurrent_requests_are_counted_exactly(cast: Cast) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(may_go_on, range(80))) == 50


def may_go_on(_: int) -> bool:
    try:
        spend("crowd", 50)
    except RateLimited:
        return False
    return True


@pytest.fixture
def broken(monkeypatch: Any) -> ForgivingRedisCache:
    """A cache with an unreachable Redis."""
    monkeypatch.setattr(ForgivingRedisCache, "outage", Outage("limits are counted per process"))
    gone = ForgivingRedisCache(f"redis://127.0.0.1:{free_port()}/0", {})
    monkeypatch.setattr(rate_limits, "cache", gone)
    return gone


def test_without_the_shared_cache_the_process_counts_by_itself_and_logs_it_once(
    cast: Cast, settings: Any, broken: ForgivingRedisCache, caplog: Any
) -> None:
    settings.REQUESTS_PER_MINUTE = 3
    assert [As(cast.bob).ask("GET", "me").status_code for _ in range(20)] == [200] * 3 + [429] * 17
    assert As(cast.alice).ask("GET", "me").status_code == 200
    assert caplog.text.count("limits are counted per process") == 1


def test_few_requests_wait_for_a_shared_cache_that_hangs(
    cast: Cast, broken: ForgivingRedisCache, monkeypatch: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as mute:
        address = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        monkeypatch.setattr(rate_limits, "cache", ForgivingRedisCache(address, {}))
        assert {As(cast.bob).ask("GET", "me").status_code for _ in range(20)} == {200}
        mute.setblocking(False)
        attempts = 0
        with suppress(BlockingIOError):
            while True:
                mute.accept()[0].close()
                attempts += 1
    assert 1 <= attempts <= 5


def test_without_the_shared_cache_concurrent_requests_are_counted_exactly(
    broken: ForgivingRedisCache,
) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(may_go_on, range(80))) == 50


def test_without_the_shared_cache_guesses_of_a_password_are_limited(
    cast: Cast, broken: ForgivingRedisCache, monkeypatch: Any
) -> None:
    monkeypatch.setattr(ratelimit, "cache", broken)
    monkeypatch.setattr(guesses, "cache", broken)
    app, login = Client(), "/_allauth/app/v1/auth/login"

    def guess(password: str) -> int:
        body = {"email": "bob@example.com", "password": password}
        return app.post(login, body, content_type="application/json").status_code

    for number in range(5):
        assert guess(f"wrong {number}") == 400
    refused = app.post(
        login, {"email": "bob@example.com", "password": PASSWORD}, content_type="application/json"
    )
    assert refused.status_code == 400
    assert "Too many failed login attempts" in refused.content.decode()


def test_without_the_shared_cache_a_page_costs_no_write(
    cast: Cast, broken: ForgivingRedisCache, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sessions, "cache", broken)
    browser = Client()
    browser.force_login(cast.bob.user)
    browser.get("/accounts/profile/")
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/accounts/profile/").status_code == 200
    assert not [one["sql"] for one in queries if "usersessions" in one["sql"]]


def test_the_fallback_cache_behaves_like_redis(broken: ForgivingRedisCache) -> None:
    assert (broken.get("a", "nothing"), broken.has_key("a"), broken.get_many(["a"])) == ("nothing", False, {})
    with pytest.raises(ValueError, match="not found"):
        broken.incr("a")
    assert (broken.add("a", 1, 60), broken.add("a", 5), broken.incr("a"), broken.decr("a")) == (
        True,
        False,
        2,
        1,
    )
    another = ForgivingRedisCache(broken._servers[0], {})
    assert (another.get("a"), another.touch("a", 60), another.get_or_set("a", 7)) == (1, True, 1)
    assert (broken.set_many({"b": 2}), broken.get_many(["a", "b"])) == ([], {"a": 1, "b": 2})
    broken.delete_many(["b"])
    assert (broken.delete("a"), broken.delete("a"), broken.get("b")) == (True, False, None)
    broken.set("c", 3, 0)
    assert broken.get("c") is None
    assert cache.get("a") is None
