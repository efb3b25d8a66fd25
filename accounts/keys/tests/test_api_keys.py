"""API keys: scopes, limits, expiry, shown once, ended with the membership; service accounts own some."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from accounts.models import ApiKey, Membership, User, Workspace
from accounts.tests.cast import Cast, Person
from accounts.tests.requests_as import As, code_of
from kit import rate_limits
from kit.tests.clock import StoppedClock

pytestmark = pytest.mark.django_db


def make(person: Person, *scopes: str, tenant: bool = False, **fields: Any) -> str:
    path = "tenant/api-keys" if tenant else f"workspaces/{person.principal.workspace.slug}/api-keys"
    answer = As(person).ask("POST", path, {"name": "mine", "scopes": list(scopes), **fields})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["key"])


def test_a_key_is_shown_once_and_stored_as_a_hash(cast: Cast) -> None:
    key = make(cast.bob, "chat")
    row = ApiKey.objects.get()
    assert key.startswith(f"sy_{row.prefix}_")
    assert key.removeprefix(f"sy_{row.prefix}_") not in str(vars(row))
    (listed,) = As(cast.bob).ask("GET", "workspaces/sales/api-keys").json()["data"]
    assert "key" not in listed
    assert listed["prefix"] in key


def test_a_key_has_the_rights_of_its_scopes_and_its_owner(cast: Cast) -> None:
    reads = As(credential=make(cast.bob, "read"))
    assert reads.ask("GET", "workspaces/sales/members").status_code == 200
    assert code_of(reads.ask("PATCH", "workspaces/sales", {"name": "Mine"})) == "role_too_low"
    chats = As(credential=make(cast.bob, "chat"))
    assert code_of(chats.ask("GET", "workspaces/sales/members")) == "scope_missing"
    owner = As(credential=make(cast.alice, "manage", tenant=True))
    assert owner.ask("PATCH", "tenant", {"name": "Acme 2"}).status_code == 200


def test_no_key_creates_keys(cast: Cast) -> None:
    key = As(credential=make(cast.alice, "manage", "read", "chat"))
    body = {"name": "more", "scopes": ["chat"]}
    assert code_of(key.ask("POST", "workspaces/sales/api-keys", body)) == "person_required"


def test_a_workspace_key_works_only_in_its_workspace(cast: Cast) -> None:
    key = As(credential=make(cast.alice, "read", "manage"))
    assert key.ask("GET", "workspaces/sales/models").status_code == 200
    assert key.ask("GET", "workspaces/ops/models").status_code == 404
    assert key.ask("GET", "workspaces/ops/models", **{"X-Workspace": "ops"}).status_code == 404
    assert [row["id"] for row in key.ask("GET", "workspaces").json()["data"]] == ["sales"]


def test_a_team_key_acts_in_the_named_workspace(cast: Cast) -> None:
    key = As(credential=make(cast.alice, "read", tenant=True))
    assert key.ask("GET", "workspaces/ops/models").status_code == 200
    assert key.ask("GET", "conversations", **{"X-Workspace": "ops"}).status_code == 200
    assert key.ask("GET", "conversations", **{"X-Workspace": "nowhere"}).status_code == 404


def test_a_revoked_key_is_refused(cast: Cast) -> None:
    key = As(credential=make(cast.bob, "read"))
    assert key.ask("GET", "workspaces/sales").status_code == 200
    assert As(cast.dana).ask("DELETE", f"api-keys/{ApiKey.objects.get().id}").status_code == 404
    assert As(cast.bob).ask("DELETE", f"api-keys/{ApiKey.objects.get().id}").status_code == 204
    assert key.ask("GET", "workspaces/sales").status_code == 401


def test_an_expired_key_is_refused(cast: Cast) -> None:
    soon = (timezone.now() + timedelta(days=1)).isoformat()
    key = As(credential=make(cast.bob, "read", expires_at=soon))
    assert key.ask("GET", "workspaces/sales").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now())
    assert key.ask("GET", "workspaces/sales").status_code == 401


def test_a_key_ends_with_its_owners_membership_even_if_they_rejoin(cast: Cast) -> None:
    key = As(credential=make(cast.bob, "read"))
    membership = cast.bob.user.memberships.get()
    membership.delete()
    assert key.ask("GET", "workspaces/sales").status_code == 401
    Membership.objects.create(user=cast.bob.user, tenant=membership.tenant)
    assert key.ask("GET", "workspaces/sales").status_code == 401


def test_a_release_without_the_recovery_column_still_creates_keys(cast: Cast) -> None:
    """During an upgrade the old release inserts rows without the column."""
    make(cast.bob, "chat")
    known = [field.column for field in ApiKey._meta.concrete_fields if field.name != "revoked_in_recovery"]
    copied = [
        "gen_random_uuid()" if name == "id" else "'other'" if name == "prefix" else name for name in known
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_apikey ({', '.join(known)}) "
            f"SELECT {', '.join(copied)} FROM accounts_apikey"
        )
    assert list(ApiKey.objects.values_list("revoked_in_recovery", flat=True)) == [False, False]


def test_a_key_is_rate_limited(cast: Cast, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(rate_limits, "time", StoppedClock())
    settings.API_KEY_REQUESTS_PER_MINUTE = 2
    cache.clear()
    key = As(credential=make(cast.bob, "read"))
    statuses = [key.ask("GET", "workspaces/sales").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert code_of(key.ask("GET", "workspaces/sales")) == "rate_limited"


def test_the_last_use_of_a_key_is_recorded(cast: Cast) -> None:
    key = As(credential=make(cast.bob, "read"))
    assert ApiKey.objects.get().last_used_at is None
    key.ask("GET", "workspaces/sales")
    assert ApiKey.objects.get().last_used_at is not None


@pytest.mark.parametrize(
    "raw", ["sy_", "sy_x", "sy_abcdefghij_", "sy_abcdefghij_no", "sy_\u00e4_x", "sy__", "sy_a\0_b"]
)
def test_an_invalid_key_is_refused(cast: Cast, raw: str) -> None:
    assert As(credential=raw.encode().decode("latin-1")).ask("GET", "workspaces/sales").status_code in {
        400,
        401,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": ["chat"]},
        {"name": "", "scopes": ["chat"]},
        {"name": "x" * 101, "scopes": ["chat"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "scopes": "chat"},
        {"name": "x", "scopes": ["chat"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["chat"], "expires_at": "9999-12-31T23:59:59+14:00"},
        {"name": "x", "scopes": ["chat"], "service_account": "00000000-0000-0000-0000-000000000000"},
    ],
)
def test_invalid_input_is_refused(cast: Cast, body: dict[str, Any]) -> None:
    answer = As(cast.alice).ask("POST", "workspaces/sales/api-keys", body)
    assert answer.status_code in ({201} if "9999" in str(body) else {422})
    assert ApiKey.objects.count() == (1 if answer.status_code == 201 else 0)


def test_missing_or_wrong_scopes_are_answered_with_the_possible_ones(cast: Cast) -> None:
    for scopes in ({}, {"scopes": []}, {"scopes": ["root"]}, {"scopes": "chat"}, {"scopes": ["read", 1]}):
        for path in ("workspaces/sales/api-keys", "tenant/api-keys"):
            answer = As(cast.alice).ask("POST", path, {"name": "x", **scopes})
            problems = answer.json()["error"]["details"]
            assert (answer.status_code, list(problems)) == (422, ["scopes"])
            assert "chat, read, manage" in str(problems)


def test_a_service_accounts_key_outlives_its_creators_membership(cast: Cast) -> None:
    Membership.objects.filter(user=cast.bob.user).update(role="admin")
    robot = As(cast.bob).ask("POST", "tenant/service-accounts", {"name": "Robot"}).json()
    assert robot["service_account"] is True
    key = As(credential=make(cast.bob, "read", service_account=robot["id"]))
    As(cast.alice).ask("DELETE", f"tenant/members/{cast.bob.principal.user_id}")
    assert key.ask("GET", "workspaces/sales").status_code == 200
    assert As(cast.alice).ask("DELETE", f"tenant/service-accounts/{robot['id']}").status_code == 204
    assert key.ask("GET", "workspaces/sales").status_code == 401
    assert not User.objects.get(id=robot["id"]).is_active


def test_a_service_account_cannot_sign_in(cast: Cast) -> None:
    robot = As(cast.alice).ask("POST", "tenant/service-accounts", {"name": "Robot"}).json()
    email = User.objects.get(id=robot["id"]).email
    body = {"email": email, "password": ""}
    assert As().ask("POST", "auth/token", {**body, "password": "x"}).status_code == 401


def test_an_archived_workspaces_key_is_refused(cast: Cast) -> None:
    key = As(credential=make(cast.dana, "read"))
    Workspace.objects.filter(slug="ops").update(archived_at=timezone.now())
    assert key.ask("GET", "workspaces/ops").status_code == 401
