"""Invalid input in our forms, in allauth's, or from an app causes no server error."""

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.tests.cast import PASSWORD, Cast

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
WORKSPACE_URL = "/t/acme/w/sales"
TEXTS = ["", "\0", "x" * 20_000, "9" * 40, "-1", "[]", "2026-99-99", "\U0001f4a5", "a@b", "'; --"]
FORMS = {
    f"{WORKSPACE_URL}/members/invitations": ["emails", "role", "workspaces", "place_role"],
    f"{WORKSPACE_URL}/members/service-accounts": ["name", "workspace_role"],
    f"{WORKSPACE_URL}/settings": ["name", "departed_conversations"],
    f"{WORKSPACE_URL}/settings/workspaces": ["name"],
    f"{WORKSPACE_URL}/settings/keys": ["name", "scopes", "reach", "owner", "days"],
    f"{WORKSPACE_URL}/settings/workspaces/sales": ["name"],
    f"{WORKSPACE_URL}/settings/workspaces/sales/members": ["user", "role"],
    f"{WORKSPACE_URL}/settings/workspaces/sales/link": ["role", "most_uses", "days"],
    f"{WORKSPACE_URL}/settings/workspaces/ops/delete": ["typed"],
    f"{WORKSPACE_URL}/settings/audit": ["action", "actor", "since", "until"],
    "/accounts/profile/": ["name", "reply_language", "picture"],
    "/accounts/email/": ["email", "action_add", "action_primary", "action_send", "action_remove"],
    "/accounts/password/change/": ["oldpassword", "password1", "password2"],
    "/accounts/password/reset/": ["email"],
    "/accounts/login/": ["login", "password", "remember", "next"],
    "/accounts/signup/": ["email", "password1", "name", "tenant_name", "workspace_name", "next"],
    "/accounts/reauthenticate/": ["password", "next"],
    "/accounts/2fa/totp/activate/": ["code"],
    "/accounts/2fa/authenticate/": ["code", "credential"],
    "/accounts/2fa/webauthn/login/": ["credential"],
    "/accounts/2fa/webauthn/add/": ["credential", "name"],
    "/accounts/3rdparty/": ["account"],
    "/places/new": ["name"],
    "/invitations/": ["name", "password"],
}
ROUTES = [
    "auth/login",
    "auth/signup",
    "auth/password/request",
    "auth/password/reset",
    "auth/email/verify",
    "auth/2fa/authenticate",
    "auth/webauthn/login",
    "auth/provider/token",
    "auth/sessions",
    "auth/reauthenticate",
    "account/email",
    "account/authenticators/totp",
    "account/authenticators/webauthn",
    "account/password/change",
    "tokens/refresh",
]
FIELDS = [
    "email",
    "password",
    "key",
    "code",
    "credential",
    "provider",
    "token",
    "name",
    "sessions",
    "new_password",
]
VALUES: list[Any] = ["\0", "x" * 5000, None, 5, [], {"a": "\0"}, True, "\ud800", {"id": "\0", "response": {}}]
BODIES = ["{", "[1]", "null", '"x"', "[" * 3000]


@pytest.mark.slow
@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_form_accepts_or_refuses_any_text(cast: Cast, path: str, signed_in: bool) -> None:
    faults = []
    for text in TEXTS:
        cache.clear()  # the limits on guesses
        client = Client(raise_request_exception=False)
        if signed_in:
            client.force_login(cast.alice.user, BACKEND)
            client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        sent = dict.fromkeys(FORMS[path], text)
        asked = {**sent, "after": text, "find": text, "q": text, "next": text}
        statuses = [client.post(path, sent).status_code, client.get(path, asked).status_code]
        if max(statuses) >= 500:
            faults.append((text[:10], statuses))
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("signed_in", [True, False])
def test_an_app_may_send_any_body(cast: Cast, route: str, signed_in: bool) -> None:
    client = Client(raise_request_exception=False)
    headers = {"X-Session-Token": session_of(client)} if signed_in else {}
    bodies = [
        json.dumps({**dict.fromkeys(FIELDS, value), "new_password": value}) for value in VALUES
    ] + BODIES
    faults = []
    for body in bodies:
        for method in ("POST", "PATCH", "DELETE"):
            cache.clear()
            answer = client.generic(
                method,
                f"/_allauth/app/v1/{route}",
                body,
                content_type="application/json",
                headers=headers,
            )
            if answer.status_code >= 500:
                faults.append((method, body[:40], answer.status_code))
    assert faults == []


def session_of(client: Client) -> str:
    body = {"email": "alice@example.com", "password": PASSWORD}
    answer = client.post("/_allauth/app/v1/auth/login", body, content_type="application/json")
    return str(answer.json()["meta"]["session_token"])


@pytest.mark.parametrize("kind", ["prompts", "mcps", "models"])
@pytest.mark.parametrize("after", ["", "/edit", "/tools/a%00b", "/render", "/price", "/prices"])
def test_nul_in_a_path_parameter_is_not_found(cast: Cast, kind: str, after: str) -> None:
    client = Client()
    client.force_login(cast.alice.user)
    answer = client.get(f"/v1/workspaces/sales/{kind}/a%00b{after}", headers=cast.alice.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    for answer in (
        client.get(f"{WORKSPACE_URL}/{kind}/a%00b{after}"),
        client.post(f"{WORKSPACE_URL}/{kind}/a%00b{after}"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v1/workspaces/sales/mcps/calculator/tools/a%00b"),
        ("GET", "/v1/models/a%00b"),
        ("GET", "/static/a%00b"),
        ("GET", "/invitations/a%00b"),
        ("GET", "/join/a%00b"),
        ("GET", "/%00"),
    ],
)
def test_nul_in_any_url_is_not_found(cast: Cast, method: str, path: str) -> None:
    answer = Client().generic(method, path, headers=cast.alice.headers)
    assert answer.status_code == 404
