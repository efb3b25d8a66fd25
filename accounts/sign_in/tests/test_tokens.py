"""Sign-up, sign-in, switching between workspaces, and the end of tokens."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import AuditEntry, Membership, Tenant, User, WorkspaceMember
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.requests_as import As
from gateway.tests.events import send

ERIN = {
    "email": "Erin@Example.com",
    "password": PASSWORD,
    "name": "Erin",
    "tenant_name": "Initech & Söhne",
    "workspace_name": "Research",
}


def test_sign_up_creates_a_tenant_ready_to_chat_in(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    answer = client.post("/v1/auth/signup", json=ERIN)
    assert answer.status_code == 201
    data = answer.json()
    assert set(data) == {"access", "refresh", "userId", "tenant", "workspace", "tenantId", "workspaceId"}
    assert (data["tenant"], data["workspace"]) == ("initech-sohne", "research")
    assert (data["tenantId"], data["workspaceId"]) == ("initech-sohne", "research")
    client.headers["Authorization"] = f"Bearer {data['access']}"
    assert send(client, "hi").json()["reply"] == "Hello there."
    assert AuditEntry.objects.filter(action="user.signed_up", tenant__slug="initech-sohne").exists()


def test_the_cloned_schema_has_the_templates_tables_and_constraints(client_of: Any, cast: Cast) -> None:
    client_of(None).post("/v1/auth/signup", json=ERIN)
    schema = Tenant.objects.get(slug="initech-sohne").schema_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname, x.conname FROM pg_constraint x "
            "JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname IN ('tenant_template', %s)",
            [schema],
        )
        constraints = cursor.fetchall()
        cursor.execute(
            "SELECT schemaname, tablename, indexname FROM pg_indexes "
            "WHERE schemaname IN ('tenant_template', %s)",
            [schema],
        )
        indexes = cursor.fetchall()
    for found in (constraints, indexes):
        of_template = {row[1:] for row in found if row[0] == "tenant_template"}
        assert of_template == {row[1:] for row in found if row[0] == schema}
        assert of_template


def test_two_teams_of_one_name_get_two_slugs(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    data = client.post("/v1/auth/signup", json={**ERIN, "tenant_name": "Acme"}).json()
    assert data["tenantId"] == "acme-2"


@pytest.mark.parametrize("name", ["Admin", "public", "api", "???", "t"])
def test_reserved_and_unreadable_names_get_a_slug_of_their_own(client_of: Any, cast: Cast, name: str) -> None:
    data = client_of(None).post("/v1/auth/signup", json={**ERIN, "tenant_name": name}).json()
    assert data["tenantId"] in {"admin-2", "public-2", "api-2", "team", "t-2"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"email": None}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "password"}, "password"),
        ({"name": ""}, "name"),
        ({"name": "x" * 10_000}, "name"),
        ({"tenant_name": "nul \0"}, "tenant_name"),
        ({"tenant_name": {"a": 1}}, "tenant_name"),
    ],
)
def test_invalid_sign_up_names_the_field_and_leaves_nothing(
    client_of: Any, cast: Cast, wrong: dict[str, Any], field: str
) -> None:
    answer = client_of(None).post("/v1/auth/signup", json={**ERIN, **wrong})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
    assert list(answer.json()["error"]["details"]) == [field]
    assert not User.objects.filter(email="erin@example.com").exists()


def test_an_address_that_is_taken_is_a_conflict_in_any_case(client_of: Any, cast: Cast) -> None:
    answer = client_of(None).post("/v1/auth/signup", json={**ERIN, "email": "ALICE@example.com"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "email_taken")
    assert Tenant.objects.count() == 2


def test_sign_in_gives_a_token_for_the_first_or_the_named_workspace(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    credentials = {"email": "ALICE@example.com", "password": PASSWORD}
    assert client.post("/v1/auth/token", json=credentials).json()["workspaceId"] == "sales"
    named = client.post("/v1/auth/token", json={**credentials, "tenantId": "acme", "workspaceId": "ops"})
    assert named.json()["workspaceId"] == "ops"
    foreign = client.post("/v1/auth/token", json={**credentials, "tenant": "globex"})
    assert foreign.status_code == 404
    current = client.post("/v1/auth/token", json={**credentials, "tenant": "acme", "workspace": "ops"})
    assert current.json()["workspace"] == "ops"
    torn = client.post("/v1/auth/token", json={**credentials, "workspace": "ops", "workspaceId": "sales"})
    assert (torn.status_code, list(torn.json()["error"]["details"])) == (422, ["workspace"])
    assert AuditEntry.objects.filter(action="user.signed_in").count() == 3


def test_a_switch_within_the_tenant_needs_only_the_workspace(cast: Cast) -> None:
    alice = As(cast.alice)
    for body in ({"workspace": "ops"}, {"workspaceId": "ops"}, {"workspace": "ops", "tenant": "acme"}):
        assert alice.ask("POST", "auth/switch", body).json()["workspace"] == "ops"
    assert alice.ask("POST", "auth/switch", {"workspace": "ops", "tenant": "globex"}).status_code == 404
    assert alice.ask("POST", "auth/switch", {"tenant": "acme"}).json()["error"]["details"].keys() == {
        "workspace"
    }
    listed = "conversations?workspace=ops&workspace_id"
    assert alice.ask("GET", f"{listed}=ops").status_code == 200
    assert alice.ask("GET", f"{listed}=sales").json()["error"]["details"].keys() == {"workspace"}
    assert As(cast.bob).ask("GET", "conversations?workspace=ops").status_code == 404


def test_the_claims_have_user_tenant_and_workspace(client_of: Any, cast: Cast) -> None:
    data = (
        client_of(None).post("/v1/auth/token", json={"email": "bob@example.com", "password": PASSWORD}).json()
    )
    claims = jwt.decode(data["access"], options={"verify_signature": False})
    assert (claims["userId"], claims["tenantId"], claims["workspaceId"]) == (data["userId"], "acme", "sales")


def test_a_wrong_password_and_an_unknown_address_get_the_same_refusal(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    wrong = client.post("/v1/auth/token", json={"email": "alice@example.com", "password": "nope"})
    unknown = client.post("/v1/auth/token", json={"email": "nobody@example.com", "password": "nope"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json()["error"]["code"] == unknown.json()["error"]["code"] == "credentials_invalid"
    assert AuditEntry.objects.filter(action="user.sign_in_refused").exists()


def test_guessing_is_limited(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    guess = {"email": "alice@example.com", "password": "guess"}
    statuses = [client.post("/v1/auth/token", json=guess).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    right = client.post("/v1/auth/token", json={**guess, "password": PASSWORD})
    assert right.json()["error"]["code"] == "rate_limited"
    assert 0 < int(right.headers["retry-after"]) <= 300
    assert client.post("/v1/auth/token", json={**guess, "email": "bob@example.com"}).status_code == 401


def test_tries_from_one_address_are_limited_over_all_accounts(
    client_of: Any, cast: Cast, settings: Any
) -> None:
    settings.THROTTLE_PER_MINUTE = {**settings.THROTTLE_PER_MINUTE, "token": 3}
    client = client_of(None)
    guesses = [{"email": f"p{number}@example.com", "password": "guess"} for number in range(4)]
    answers = [client.post("/v1/auth/token", json=guess) for guess in guesses]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_a_refresh_token_works_once(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    data = client.post("/v1/auth/token", json={"email": "bob@example.com", "password": PASSWORD}).json()
    fresh = client.post("/v1/auth/token/refresh", json={"refresh": data["refresh"]})
    assert fresh.status_code == 200
    again = client.post("/v1/auth/token/refresh", json={"refresh": data["refresh"]})
    assert (again.status_code, again.json()["error"]["code"]) == (401, "token_invalid")


def test_logout_ends_the_refresh_token(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    data = client.post("/v1/auth/token", json={"email": "bob@example.com", "password": PASSWORD}).json()
    client.headers["Authorization"] = f"Bearer {data['access']}"
    assert client.post("/v1/auth/logout", json={"refresh": data["refresh"]}).status_code == 204
    assert client.post("/v1/auth/token/refresh", json={"refresh": data["refresh"]}).status_code == 401


def test_another_persons_refresh_token_cannot_be_ended(client_of: Any, cast: Cast) -> None:
    bobs = client_of(None).post("/v1/auth/token", json={"email": "bob@example.com", "password": PASSWORD})
    refresh = {"refresh": bobs.json()["refresh"]}
    assert client_of(cast.charlie).post("/v1/auth/logout", json=refresh).status_code == 204
    assert client_of(None).post("/v1/auth/token/refresh", json=refresh).status_code == 200


def test_switching_works_only_to_own_workspaces(client_of: Any, cast: Cast) -> None:
    alice, dana = client_of(cast.alice), client_of(cast.dana)
    ops = {"tenantId": "acme", "workspaceId": "ops"}
    assert alice.post("/v1/auth/switch", json=ops).json()["workspaceId"] == "ops"
    assert dana.post("/v1/auth/switch", json={**ops, "workspaceId": "sales"}).status_code == 404
    assert AuditEntry.objects.filter(action="user.switched").count() == 1
    assert AuditEntry.objects.filter(action="user.switch_refused").count() == 1


def remove_membership(cast: Cast) -> None:
    Membership.objects.filter(user=cast.bob.user).delete()


def remove_workspace_membership(cast: Cast) -> None:
    WorkspaceMember.objects.filter(user=cast.bob.user).delete()


def suspend_tenant(cast: Cast) -> None:
    Tenant.objects.filter(slug="acme").update(suspended_at=timezone.now())


def deactivate_user(cast: Cast) -> None:
    User.objects.filter(email="bob@example.com").update(is_active=False)


def archive_workspace(cast: Cast) -> None:
    cast.bob.user.workspace_memberships.get().workspace.__class__.objects.update(archived_at=timezone.now())


@pytest.mark.parametrize(
    "take_away",
    [remove_membership, remove_workspace_membership, suspend_tenant, deactivate_user, archive_workspace],
)
@pytest.mark.parametrize("path", ["/v1/conversations", f"/v1/chat/turns/{UUID(int=1)}/events"])
def test_a_token_stops_immediately_when_access_is_removed(
    client_of: Any, cast: Cast, take_away: Any, path: str
) -> None:
    bob = client_of(cast.bob)
    assert bob.get(path).status_code in {200, 404}
    take_away(cast)
    answer = bob.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")


def expired(cast: Cast) -> str:
    token = AccessToken(cast.alice.token)
    token.set_exp(lifetime=-timedelta(minutes=1))
    return str(token)


def forged(cast: Cast) -> str:
    claims = jwt.decode(cast.alice.token, options={"verify_signature": False})
    return jwt.encode(claims, "another key that is long enough for it", algorithm="HS256")


def unsigned(cast: Cast) -> str:
    claims = jwt.decode(cast.alice.token, options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none")


def moved_to_another_tenant(cast: Cast) -> str:
    claims = jwt.decode(cast.alice.token, options={"verify_signature": False})
    return jwt.encode({**claims, "tenantId": "globex"}, django_settings.SECRET_KEY, algorithm="HS256")


def without_claims(cast: Cast) -> str:
    claims = jwt.decode(cast.alice.token, options={"verify_signature": False})
    del claims["tenantId"]
    return jwt.encode(claims, django_settings.SECRET_KEY, algorithm="HS256")


@pytest.mark.parametrize("make", [expired, forged, unsigned, moved_to_another_tenant, without_claims])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/conversations"), ("POST", "/v1/chat/send")])
def test_a_bad_token_is_a_401(client_of: Any, cast: Cast, make: Any, method: str, path: str) -> None:
    client = client_of(None)
    answer = client.request(method, path, headers={"Authorization": f"Bearer {make(cast)}"}, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer", "Bearer a b", "Bearer é"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/conversations"), ("POST", "/v1/chat/send")])
def test_a_missing_or_malformed_token_is_a_401(
    client_of: Any, cast: Cast, method: str, path: str, header: str | None
) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header is not None else {}
    answer = client_of(None).request(method, path, headers=headers, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) in {
        (401, "not_authenticated"),
        (401, "token_invalid"),
    }


def test_a_refresh_token_is_not_an_access_token(client_of: Any, cast: Cast) -> None:
    client = client_of(None)
    data = client.post("/v1/auth/token", json={"email": "bob@example.com", "password": PASSWORD}).json()
    answer = client.get("/v1/conversations", headers={"Authorization": f"Bearer {data['refresh']}"})
    assert answer.status_code == 401


def test_a_viewer_reads_but_does_not_chat(client_of: Any, cast: Cast) -> None:
    WorkspaceMember.objects.filter(user=cast.bob.user).update(role=WorkspaceMember.Role.VIEWER)
    bob = client_of(cast.bob)
    assert bob.get("/v1/conversations").status_code == 200
    answer = send(bob, "hi")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_too_low")
    assert AuditEntry.objects.filter(action="turn.refused", details__code="role_too_low").count() == 1
