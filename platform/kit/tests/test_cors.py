"""Pages of chosen origins call the API with a bearer token; no other page can, and none with a cookie."""

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from accounts.tests.cast import Cast
from kit.cors import checked_origins

APP, PAGE = "app://desktop", "http://localhost:5173"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "Authorization, content-type,x-stainless-os , X-Api-Key",
}
ROUTES = ["/v1/chat/completions", "/v1/chat/send", "/v1/models", "/v1/conversations", "/v1/unknown"]


@pytest.mark.parametrize("origin", [APP, PAGE, "null"])
def test_a_listed_origin_gets_preflights_answers_and_errors(
    client_of: Any, cast: Cast, settings: Any, origin: str
) -> None:
    settings.CORS_ALLOWED_ORIGINS = [APP, PAGE, "null"]
    alice, stranger = client_of(cast.alice), client_of(None)
    for route in ROUTES:
        asked = stranger.options(route, headers={"Origin": origin, **PREFLIGHT})
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-origin"] == origin
        assert "POST" in asked.headers["access-control-allow-methods"]
        allowed = asked.headers["access-control-allow-headers"].replace(" ", "").split(",")
        assert allowed == ["authorization", "content-type", "x-stainless-os", "x-api-key"]
        assert "Origin" in asked.headers["vary"]
    chat = {"model": "local", "messages": [{"role": "user", "content": "hi"}]}
    answers = {
        200: alice.post(ROUTES[0], json=chat, headers={"Origin": origin}),
        401: stranger.get("/v1/models", headers={"Origin": origin}),
        404: alice.get("/v1/unknown", headers={"Origin": origin}),
        413: alice.post("/v1/auth/token", content=b"x" * 2_000_000, headers={"Origin": origin}),
        422: alice.post(ROUTES[1], json={"message": 1}, headers={"Origin": origin}),
    }
    for status, answer in answers.items():
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, origin)
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(exposed)
        sent = {name for name in answer.headers if name.startswith(("x-ratelimit-", "x-switchyard-"))}
        assert sent <= set(exposed)


def test_no_other_origin_and_no_other_route_gets_a_header(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = [PAGE]
    client = client_of(cast.alice)
    for origin in (
        "null",
        "file://",
        APP,
        f"{PAGE}/",
        f"{PAGE}0",
        "https://localhost:5173",
        PAGE.upper(),
        "*",
    ):
        for answer in (
            client.options("/v1/models", headers={"Origin": origin, **PREFLIGHT}),
            client.get("/v1/models", headers={"Origin": origin}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")], origin
            assert answer.headers["vary"].endswith("Origin")  # a cache keeps it from other origins
    for route in ("/accounts/login/", "/t/acme/w/sales/chat/send", "/_allauth/app/v1/config", "/healthz"):
        for answer in (
            client.options(route, headers={"Origin": PAGE, **PREFLIGHT}),
            client.get(route, headers={"Origin": PAGE}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")], route


def test_strange_requested_headers_are_not_repeated(client_of: Any, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = [PAGE]
    for strange in ("x y", "x-a: b", "é".encode(), "a" * 200, "x," * 50, "*", ",".join(["x-a"] * 1000)):
        headers = {"Origin": PAGE, **PREFLIGHT, "Access-Control-Request-Headers": strange}
        answer = client_of(None).options("/v1/models", headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-headers"].startswith("authorization, content-type")


def test_a_cookie_is_ignored_in_a_cross_origin_request(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = [PAGE]
    settings.REQUESTS_PER_MINUTE = 1
    session = {"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={session_of(cast)}"}
    client = client_of(None)
    own = [client.get("/v1/models", headers=session).status_code for _ in range(3)]
    assert own == [401, 429, 429]  # the session is read, if only to be counted
    crossing = [client.get("/v1/models", headers=session | {"Origin": PAGE}).status_code for _ in range(3)]
    assert crossing == [401, 401, 401]


def session_of(cast: Cast) -> str:
    browser = Client()
    browser.force_login(cast.alice.user)
    return browser.cookies[django_settings.SESSION_COOKIE_NAME].value


def test_without_the_setting_nothing_is_shared(client_of: Any, cast: Cast) -> None:
    answer = client_of(cast.alice).get("/v1/models", headers={"Origin": PAGE})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "wrong",
    [
        "*",
        "https://*.example.com",
        "https://a.example/",
        "https://A.example",
        "a.example",
        "https://",
        "app://",
    ],
)
def test_a_setting_that_no_browser_sends_stops_the_start(wrong: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="CORS_ALLOWED_ORIGINS"):
        checked_origins([wrong])
    right = [
        APP,
        PAGE,
        "null",
        "file://",
        "https://a.example",
        "app://.",
        "http://[::1]:3000",
        "capacitor://x",
    ]
    assert checked_origins(right) == right
