"""What guards each route: no read permission allows a change, and no bound key leaves its workspace."""

import inspect
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver
from rest_framework.views import APIView

from accounts.api import PolicyView
from accounts.keys.inputs import KeyInput
from accounts.keys.services import create_key
from accounts.models import AuditEntry, Invitation, Membership, Workspace
from accounts.policy import POLICY, SAFE_METHODS, Action
from accounts.principals import find_principal
from accounts.teams.members import join_workspace
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As
from config.urls import urlpatterns, v1
from gateway.api.consumer_base import EdgeConsumer
from gateway.api.routes import http_router

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Writing methods that no entry guards: the service decides by what the request is about.
LEFT_TO_THE_SERVICE = {
    ("PATCH", "me"),  # persons only
    ("PATCH", "budgets/<uuid:budget_id>"),  # by whose budget it is
    ("DELETE", "budgets/<uuid:budget_id>"),
}
# What a bound key asks of its own workspace without naming it, and of whom it acts for.
WITHOUT_A_NAME = {
    "conversations",
    "images",
    "mcp-gallery",
    "me",
    "model-catalogue",
    "models",
    "responses",
    "schema",
    "workspaces",
}


def only_views(action: Action) -> bool:
    return action.name.endswith("_VIEW") or POLICY[action].says.startswith(("See", "Read"))


def leaves(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from leaves(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.callback


REST = [(path, view.view_class) for path, view in leaves(v1) if hasattr(view, "view_class")]
GUARDED = [(path, view) for path, view in REST if issubclass(view, PolicyView)]


def written(view: type[APIView]) -> list[str]:
    return [method for method in METHODS if hasattr(view, method.lower())]


def test_no_writing_rest_method_needs_only_a_read_permission() -> None:
    found = [
        (method, path, action)
        for path, view in GUARDED
        for policy in (view.policy, view.own_policy)
        for method, action in policy.items()
        if method not in SAFE_METHODS and only_views(action)
    ]
    assert found == []
    assert len(GUARDED) > 50


def test_every_writing_rest_method_is_guarded_here_or_in_its_service() -> None:
    unguarded = {
        (method, path)
        for path, view in GUARDED
        for method in written(view)
        if method not in SAFE_METHODS and method not in view.policy
    }
    assert unguarded == LEFT_TO_THE_SERVICE


def test_no_writing_page_needs_only_a_read_permission() -> None:
    found, seen = [], 0
    for path, view in leaves(urlpatterns):
        policy = getattr(view, "policy", None)
        if not isinstance(policy, dict):
            continue
        seen += 1
        allowed = inspect.getclosurevars(view).nonlocals.get("request_method_list", METHODS)
        if "POST" in allowed and only_views(policy["POST"]):
            found.append((path, policy["POST"]))
    assert found == []
    assert seen > 40


def test_no_writing_consumer_needs_only_a_read_permission() -> None:
    router = http_router(lambda: None)
    consumers = [getattr(route.callback, "consumer_class", None) for route in router.routes]
    edges = [consumer for consumer in consumers if consumer and issubclass(consumer, EdgeConsumer)]
    assert len(edges) >= 8
    for consumer in edges:
        assert consumer.method in SAFE_METHODS or consumer.action is None or not only_views(consumer.action)


@pytest.fixture
def alices(db: None, cast: Cast) -> dict[str, str]:
    """A key with every scope for each of Alice's workspaces; she owns the team and manages both."""
    keys = {}
    for slug in ("sales", "ops"):
        principal = find_principal(
            user_id=cast.alice.principal.user_id, tenant_slug="acme", workspace_slug=slug
        )
        assert principal is not None
        made = create_key(principal=principal, key=KeyInput(name=slug, scopes=["chat", "read", "manage"]))
        keys[slug] = made.text
    return keys


def ask(client: Client, key: str, method: str, path: str, body: Any = None) -> Any:
    return client.generic(
        method,
        f"/v1/{path}",
        data=json.dumps(body if body is not None else {}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def filled(path: str, **named: str) -> str:
    """A route's URL with all parameters filled in; unknown ids get the first value."""
    parts = []
    for part in path.split("/"):
        kind, _, name = part.strip("<>").partition(":")
        if not (part.startswith("<") and part.endswith(">")):
            parts.append(part.replace("<str:form>", "csv"))
        elif name in named:
            parts.append(named[name])
        else:
            parts.append({"uuid": str(UUID(int=1)), "int": "1"}.get(kind, "x"))
    return "/".join(parts)


CALLS = [(path, method) for path, view in GUARDED for method in written(view)]


def test_a_key_of_one_workspace_finds_no_route_of_another(
    cast: Cast, alices: dict[str, str], client: Client
) -> None:
    named = {"workspace": "sales", "user_id": str(cast.bob.principal.user_id)}
    asked = [(path, method) for path, method in CALLS if "<slug:workspace>" in path]
    wrong = []
    for path, method in asked:
        answer = ask(client, alices["ops"], method, filled(path, **named))
        if answer.status_code != 404:
            wrong.append((method, path, answer.status_code))
    assert wrong == []
    assert len(asked) > 50


def test_a_key_of_one_workspace_is_refused_on_every_route_of_the_team(
    cast: Cast, alices: dict[str, str], client: Client
) -> None:
    """Refused because it is a key, before the body is read."""
    people, before = set(Membership.objects.values_list("user", "role")), AuditEntry.objects.count()
    wrong, asked = [], 0
    for path, method in CALLS:
        if "<slug:workspace>" in path or path.split("/")[0] in {*WITHOUT_A_NAME - {"workspaces"}, "chat"}:
            continue
        if (path, method) == ("workspaces", "GET"):
            continue
        asked += 1
        user_id = str(cast.bob.principal.user_id)
        answer = ask(client, alices["sales"], method, filled(path, user_id=user_id))
        code = answer.json()["error"]["code"]
        if code not in {"key_bound", "person_required"} and not path.startswith("budgets/"):
            wrong.append((method, path, answer.status_code, code))
    assert wrong == []
    assert asked > 20
    assert people == set(Membership.objects.values_list("user", "role"))
    assert before == AuditEntry.objects.count()


def test_a_bound_key_reads_only_its_workspace_when_none_is_named(
    cast: Cast, alices: dict[str, str], client: Client
) -> None:
    for path, method in CALLS:
        if method != "GET" or path not in WITHOUT_A_NAME:
            continue
        answer = ask(client, alices["ops"], "GET", path)
        assert answer.status_code == 200, path
        assert "sales" not in answer.content.decode().lower(), path
        assert "globex" not in answer.content.decode().lower(), path


def test_a_bound_key_cannot_create_workspaces(cast: Cast, alices: dict[str, str], client: Client) -> None:
    before = Workspace.objects.count()
    answer = ask(client, alices["sales"], "POST", "workspaces", {"name": "Annex"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "key_bound")
    assert Workspace.objects.count() == before


def test_a_bound_key_works_in_its_workspace(cast: Cast, alices: dict[str, str], client: Client) -> None:
    join_workspace(
        workspace=Workspace.objects.get(slug="sales", tenant=cast.alice.principal.tenant.id),
        membership=cast.dana.user.memberships.get(),
        role="viewer",
    )
    dana = str(cast.dana.principal.user_id)
    for method, path, body, status in [
        ("GET", "workspaces/sales", None, 200),
        ("GET", "workspaces/sales/audit", None, 200),
        ("GET", "workspaces/sales/usage", None, 200),
        ("PATCH", "workspaces/sales", {"name": "Sales 2"}, 200),
        ("PATCH", "workspaces/sales", {"default": True}, 403),  # the team's matter, like the next three
        ("PATCH", "workspaces/sales", {"archived": False}, 403),
        ("DELETE", "workspaces/sales", None, 403),
        ("PUT", "workspaces/sales/link", {"days": 1}, 403),
        ("DELETE", f"workspaces/sales/members/{dana}", None, 204),
        ("DELETE", f"workspaces/sales/members/{cast.alice.principal.user_id}", None, 403),
    ]:
        answer = ask(client, alices["sales"], method, path, body)
        assert answer.status_code == status, (method, path, body, answer.content)
    assert ask(client, alices["ops"], "GET", "workspaces/sales").status_code == 404


def test_a_bound_key_finds_no_budget_of_the_team_or_another_workspace(
    cast: Cast, alices: dict[str, str], client: Client
) -> None:
    requests = [
        ("budgets", {"level": "tenant", "window": "day", "limit": 5}),
        ("workspaces/ops/budgets", {"limit": 5}),
    ]
    for path, request in requests:
        made = ask(client, cast.alice.token, "POST", path, request).json()
        for method, body in (("PATCH", {"limit": 9}), ("DELETE", None)):
            answer = ask(client, alices["sales"], method, f"budgets/{made['id']}", body)
            assert answer.status_code == 404, (path, method)
    own = ask(client, alices["sales"], "POST", "workspaces/sales/budgets", {"limit": 5}).json()
    assert ask(client, alices["sales"], "DELETE", f"budgets/{own['id']}").status_code == 204


def test_a_key_cannot_become_a_person(cast: Cast, alices: dict[str, str], client: Client) -> None:
    """Neither by tokens, nor by an admin that it creates or invites, nor by leaving for someone else."""
    whole = create_key(
        principal=cast.alice.principal,
        key=KeyInput(name="all", scopes=["chat", "read", "manage"]),
        for_tenant=True,
    ).text
    bob, own = cast.bob.principal.user_id, cast.alice.principal.user_id
    for key in (whole, *alices.values()):
        for method, path, body in [
            ("POST", "auth/switch", {"tenantId": "acme", "workspaceId": "sales"}),
            ("POST", "auth/logout", {"refresh": "x"}),
            ("PATCH", f"tenant/members/{bob}", {"role": "admin"}),
            ("POST", "tenant/invitations", {"emails": ["eve@example.com"], "role": "admin"}),
            ("POST", "tenant/ownership/accept", None),
            ("DELETE", f"tenant/members/{own}", None),
            ("PATCH", "me", {"name": "Eve"}),
        ]:
            answer = ask(client, key, method, path, body)
            code = answer.json()["error"]["code"]
            assert code in {"person_required", "key_bound"}, (path, answer.content)
    assert ask(client, whole, "PATCH", f"tenant/members/{bob}", {"role": "guest"}).status_code == 200
    invited = ask(client, whole, "POST", "tenant/invitations", {"emails": ["eve@example.com"]})
    assert invited.status_code == 201
    assert (
        ask(client, cast.alice.token, "PATCH", f"tenant/members/{bob}", {"role": "admin"}).status_code == 200
    )


@pytest.mark.django_db
def test_head_needs_the_same_permission_as_get(cast: Cast, client: Client) -> None:
    key = create_key(
        principal=cast.alice.principal, key=KeyInput(name="chats", scopes=["chat"]), for_tenant=True
    ).text
    for path in ("tenant/audit", "tenant/members", "workspaces/sales/members"):
        assert [ask(client, key, method, path).status_code for method in ("GET", "HEAD")] == [403, 403]


@pytest.mark.django_db
def test_a_key_cannot_resend_an_admins_invitation(cast: Cast, client: Client) -> None:
    key = create_key(
        principal=cast.alice.principal, key=KeyInput(name="all", scopes=["manage"]), for_tenant=True
    ).text
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": ["eve@example.com"], "role": "admin"})
    refused = ask(client, key, "POST", f"tenant/invitations/{Invitation.objects.get().id}/resend")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "person_required")
    assert Invitation.objects.get().times_sent == 1
