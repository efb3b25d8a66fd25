"""What another tenant owns, or another workspace, does not exist: on every route, in the same words."""

import json
import re
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.urls import URLPattern, URLResolver

from accounts.tests.cast import Cast, Person
from config import urls
from config.asgi import application
from gateway.api.routes import http_router
from gateway.tests.events import send
from gateway.tests.pictures import picture
from kit.tenancy import tenant_scope
from workspaces.models import MCPServer


def routes_below(patterns: list[Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        address = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found |= routes_below(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern):
            found.add(address)
    return found


ALL_ROUTES = {
    route
    for route in routes_below(urls.urlpatterns) | routes_below(http_router(application).routes)
    if route.startswith("v1/") and route != "v1/"
}

# There an unknown one is a 400, as OpenAI answers.
NAMED_IN_A_FIELD = {"v1/responses", "v1/responses/input_tokens"}
# Each route that names something of a tenant's or a workspace's: the method, a body, and what it names.
OWNED = {
    "v1/chat/send": ("POST", {"message": "hi", "model": "local", "conversation_id": "{conversation}"}),
    "v1/chat/explain": ("POST", {"message": "hi", "model": "local", "conversation_id": "{conversation}"}),
    "v1/chat/turns/<uuid:turn_id>": ("GET", None),
    "v1/chat/turns/<uuid:turn_id>/events": ("GET", None),
    "v1/chat/turns/<uuid:turn_id>/stop": ("POST", None),
    "v1/responses": ("POST", {"model": "local", "input": "hi", "previous_response_id": "{response}"}),
    "v1/responses/input_tokens": (
        "POST",
        {"model": "local", "input": "hi", "previous_response_id": "{response}"},
    ),
    "v1/responses/<str:response_id>": ("DELETE", None),
    "v1/responses/<str:response_id>/input_items": ("GET", None),
    "v1/conversations": ("GET", None),
    "v1/conversations/<uuid:conversation_id>": ("DELETE", None),
    "v1/conversations/<uuid:conversation_id>/messages": ("GET", None),
    "v1/workspaces/<slug:workspace>/quota": ("GET", None),
    "v1/workspaces/<slug:workspace>/models": ("GET", None),
    "v1/workspaces/<slug:workspace>/models/bulk": ("POST", {"models": ["local"], "enabled": True}),
    "v1/workspaces/<slug:workspace>/models/<path:model>": ("GET", None),
    "v1/workspaces/<slug:workspace>/credentials": ("POST", {"name": "Mine", "kind": "openai", "key": "k"}),
    "v1/workspaces/<slug:workspace>/credentials/<uuid:credential_id>": ("DELETE", None),
    "v1/images/<uuid:image_id>": ("GET", None),
    "v1/workspaces/<slug:workspace>/models/install": ("POST", {"provider": "groq", "models": ["gpt-oss"]}),
    "v1/workspaces/<slug:workspace>/models/<path:model>/test": ("POST", None),
    "v1/workspaces/<slug:workspace>/models/<path:model>/prices": ("POST", {"input": 1, "output": 1}),
    "v1/workspaces/<slug:workspace>/mcps": ("GET", None),
    "v1/workspaces/<slug:workspace>/mcps/<str:server>": ("PATCH", {"enabled": True}),
    "v1/workspaces/<slug:workspace>/mcps/<str:server>/refresh": ("POST", None),
    "v1/workspaces/<slug:workspace>/mcps/<str:server>/sign-in": ("POST", None),
    "v1/workspaces/<slug:workspace>/mcps/<str:server>/tools": ("PATCH", {"allowed": True}),
    "v1/workspaces/<slug:workspace>/mcps/<str:server>/tools/<path:tool>": ("PATCH", {"allowed": True}),
    "v1/chat/turns/<uuid:turn_id>/approvals/<uuid:approval_id>": ("POST", {"decision": "allow"}),
    "v1/workspaces/<slug:workspace>/prompts": ("GET", None),
    "v1/workspaces/<slug:workspace>/prompts/<str:prompt>": ("PATCH", {"title": "Mine"}),
    "v1/workspaces/<slug:workspace>/prompts/<str:prompt>/versions": ("GET", None),
    "v1/workspaces/<slug:workspace>/prompts/<str:prompt>/diff/<int:before>/<int:after>": ("GET", None),
    "v1/workspaces/<slug:workspace>/prompts/<str:prompt>/rollback": ("POST", {"version": 1}),
    "v1/workspaces/<slug:workspace>/prompts/<str:prompt>/favourite": ("PUT", None),
    "v1/workspaces/<slug:workspace>/prompts/<str:prompt>/render": ("POST", {}),
    "v1/workspaces/<slug:workspace>/usage": ("GET", None),
    "v1/workspaces/<slug:workspace>/usage/export.<str:form>": ("GET", None),
    "v1/workspaces/<slug:workspace>/budgets": ("POST", {"limit": 5}),
    "v1/budgets/<uuid:budget_id>": ("DELETE", None),
    "v1/workspaces/<slug:workspace>": ("GET", None),
    "v1/workspaces/<slug:workspace>/members": ("GET", None),
    "v1/workspaces/<slug:workspace>/members/<uuid:user_id>": ("PUT", {"role": "viewer"}),
    "v1/workspaces/<slug:workspace>/api-keys": ("POST", {"name": "mine", "scopes": ["chat"]}),
    "v1/workspaces/<slug:workspace>/audit": ("GET", None),
    "v1/api-keys/<uuid:key_id>": ("DELETE", None),
    "v1/tenant/members/<uuid:user_id>": ("PATCH", {"role": "admin"}),
    "v1/workspaces/<slug:workspace>/link": ("GET", None),
    "v1/tenant/invitations/<uuid:invitation_id>": ("DELETE", None),
    "v1/tenant/invitations/<uuid:invitation_id>/resend": ("POST", None),
    "v1/tenant/service-accounts/<uuid:user_id>": ("DELETE", None),
    "v1/auth/switch": ("POST", {"tenantId": "acme", "workspaceId": "sales"}),
}
ADMINS_ONLY = {
    "v1/tenant/members/<uuid:user_id>",
    "v1/tenant/invitations/<uuid:invitation_id>",
    "v1/tenant/invitations/<uuid:invitation_id>/resend",
    "v1/tenant/service-accounts/<uuid:user_id>",
}
# Those that name nothing: they show what the token opens, or nothing at all.
UNOWNED = {
    "v1/auth/signup",
    "v1/auth/token",
    "v1/auth/token/refresh",
    "v1/auth/logout",
    "v1/auth/team",
    "v1/auth/invitations/look",
    "v1/auth/invitations/accept",
    "v1/auth/links/look",
    "v1/auth/links/join",
    "v1/chat/completions",
    "v1/messages",
    "v1/messages/count_tokens",
    "v1/embeddings",
    "v1/moderations",
    "v1/mcp-gallery",
    "v1/me",
    "v1/tenant",
    "v1/tenant/members",
    "v1/tenant/ownership",
    "v1/tenant/ownership/accept",
    "v1/tenant/api-keys",
    "v1/tenant/service-accounts",
    "v1/tenant/invitations",
    "v1/tenant/audit",
    "v1/usage",
    "v1/usage/export.<str:form>",
    "v1/usage/settings",
    "v1/budgets",
    "v1/workspaces",
    "v1/images",
    "v1/model-catalogue",
    "v1/models",
    "v1/models/<path:model>",
    "v1/schema",
    "v1/docs",
}


def test_every_route_is_covered_here() -> None:
    assert set(OWNED) | UNOWNED == ALL_ROUTES


def request_of(route: str, names: dict[str, str]) -> httpx.Request:
    method, body = OWNED[route]
    path = re.sub(r"<\w+:(\w+)>", lambda found: names[found[1]], route)
    if route == "v1/conversations":
        path += f"?workspace_id={names['workspace']}"
    if body is not None:
        text = json.dumps(body).replace("{conversation}", names["conversation_id"])
        text = text.replace("{response}", names["response_id"])
        body = json.loads(text)
    return httpx.Request(method, f"http://x/{path}", json=body)


def ask(client: httpx.Client, request: httpx.Request) -> tuple[int, dict[str, Any]]:
    answer = client.request(
        request.method,
        request.url.raw_path.decode(),
        content=request.content,
        headers=dict(request.headers) | {"host": client.base_url.netloc.decode()},
    )
    received = json.loads(re.sub("resp_[0-9a-f]{32}", "resp_asked_for", answer.text))
    received.get("error", {}).pop("request_id", None)
    return answer.status_code, received


@pytest.fixture
def alices(client_of: Any, cast: Cast) -> dict[str, str]:
    client = client_of(cast.alice)
    with tenant_scope(cast.alice.principal.tenant):
        server = {"slug": "search", "url": "https://search.example/mcp", "enabled": True}
        MCPServer.objects.create(workspace_id=cast.alice.principal.workspace.id, **server)
    prompt = {"slug": "greeting", "title": "Greeting", "text": "Hello"}
    assert client.post("/v1/workspaces/sales/prompts", json=prompt).status_code == 201
    received = send(client, "secret plans").json()
    key = client.post("/v1/workspaces/sales/api-keys", json={"name": "mine", "scopes": ["chat"]}).json()
    invited = client.post("/v1/tenant/invitations", json={"emails": ["erin@example.com"]}).json()["data"]
    return {
        "invitation_id": invited[0]["invitation"]["id"],
        "conversation_id": received["conversation_id"],
        "response_id": client.post("/v1/responses", json={"model": "local", "input": "hi"}).json()["id"],
        "turn_id": received["turn_id"],
        "workspace": "sales",
        "user_id": str(cast.alice.principal.user_id),
        "key_id": key["id"],
        "budget_id": client.post("/v1/budgets", json={"level": "tenant", "limit": 10**9}).json()["id"],
        "form": "csv",
        "model": "local",
        "server": "search",
        "tool": "add",
        "prompt": "greeting",
        "before": "1",
        "after": "1",
        "approval_id": str(uuid4()),
        "credential_id": str(uuid4()),
        "image_id": client.post("/v1/images", content=picture()).json()["id"],
    }


def nobodys() -> dict[str, str]:
    named = ("conversation_id", "turn_id", "user_id", "key_id", "invitation_id", "budget_id", "image_id")
    return {
        **{name: str(uuid4()) for name in named},
        "response_id": f"resp_{uuid4().hex}",
        "workspace": "no-such-place",
        "form": "csv",
        "model": "local",
        "server": "search",
        "tool": "add",
        "prompt": "greeting",
        "before": "1",
        "after": "1",
        "approval_id": str(uuid4()),
        "credential_id": str(uuid4()),
    }


@pytest.mark.parametrize("name", ["charlie", "dana"])
def test_a_foreign_object_is_indistinguishable_from_a_missing_one(
    client_of: Any, cast: Cast, alices: dict[str, str], name: str, settings: Any
) -> None:
    """charlie is of another tenant, dana of another workspace of the same one."""
    settings.REQUESTS_PER_MINUTE = 10**6
    client = client_of(getattr(cast, name))
    # Dana is refused some by her role, which the policy's own test asks.
    routes = set(OWNED) - (ADMINS_ONLY if name == "dana" else set())
    answers = {route: (theirs(client, name, route, alices), nothing(client, route)) for route in routes}
    expected = {route: 400 if route in NAMED_IN_A_FIELD else 404 for route in routes}
    wrong = {r: pair for r, pair in answers.items() if pair[0] != pair[1] or pair[0][0] != expected[r]}
    assert wrong == {}
    assert client_of(cast.alice).get(f"/v1/chat/turns/{alices['turn_id']}").status_code == 200


def theirs(client: httpx.Client, name: str, route: str, alices: dict[str, str]) -> tuple[int, Any]:
    if name == "charlie" and ("workspace" in route or route == "v1/conversations"):
        alices = {**alices, "workspace": "ops"}  # charlie's own tenant has a workspace sales, but no ops
    return ask(client, request_of(route, alices))


def nothing(client: httpx.Client, route: str) -> tuple[int, Any]:
    request = request_of(route, nobodys())
    if route == "v1/auth/switch":
        request = httpx.Request(
            "POST", "http://x/v1/auth/switch", json={"tenantId": "no", "workspaceId": "no"}
        )
    return ask(client, request)


def test_a_colleague_in_the_same_workspace_sees_none_of_my_conversations(
    client_of: Any, cast: Cast, alices: dict[str, str]
) -> None:
    bob = client_of(cast.bob)
    assert bob.get("/v1/conversations?workspace_id=sales").json()["data"] == []
    assert bob.get(f"/v1/conversations/{alices['conversation_id']}/messages").status_code == 404
    assert send(bob, "hi", conversation_id=alices["conversation_id"]).status_code == 404


def test_my_own_things_are_not_opened_by_a_token_for_another_workspace(
    client_of: Any, cast: Cast, alices: dict[str, str]
) -> None:
    client = client_of(cast.alice)
    tokens = client.post("/v1/auth/switch", json={"tenantId": "acme", "workspaceId": "ops"}).json()
    client.headers["Authorization"] = f"Bearer {tokens['access']}"
    assert client.get(f"/v1/conversations/{alices['conversation_id']}").status_code == 404
    assert client.get(f"/v1/chat/turns/{alices['turn_id']}").status_code == 404
    assert client.get("/v1/conversations").json()["data"] == []
    assert len(client.get("/v1/conversations?workspace_id=sales").json()["data"]) == 2  # one is a response's


def test_usage_of_one_workspace_is_not_charged_to_another(
    client_of: Any, cast: Cast, alices: dict[str, str]
) -> None:
    def used(person: Person, workspace: str) -> int:
        rows = client_of(person).get(f"/v1/workspaces/{workspace}/quota").json()["data"]
        return int(next(row["used"] for row in rows if row["level"] == "workspace"))

    assert used(cast.dana, "ops") == 0
    assert used(cast.charlie, "sales") == 0
    assert used(cast.bob, "sales") > 0
