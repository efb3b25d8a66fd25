"""The policy of consumers and conversations: chatting, and changing conversations."""

from itertools import product
from typing import Any

import pytest

from accounts.keys.inputs import KeyInput
from accounts.keys.services import create_key
from accounts.models import Membership, WorkspaceMember
from accounts.policy import Scope
from accounts.principals import find_principal
from accounts.sign_in.tokens import access_token
from accounts.tests.cast import Cast, Person
from accounts.tests.policy_table import documented_rows
from gateway.tests.events import body, send
from kit.tenancy import tenant_scope
from workspaces.models import MCPServer

VAULT = {
    "slug": "vault",
    "url": "https://vault.example/mcp",
    "auth": MCPServer.Auth.OAUTH,
    "sign_in": MCPServer.SignIn.MEMBER,
    "enabled": True,
}
ROLES = list(product(Membership.Role.values, WorkspaceMember.Role.values))
KEYS: list[Scope | None] = [None, *Scope]
DOCUMENTED = documented_rows()


def plays(bob: Person, tenant_role: str, workspace_role: str) -> None:
    Membership.objects.filter(id=bob.principal.membership_id).update(role=tenant_role)
    WorkspaceMember.objects.filter(user=bob.user).update(role=workspace_role)


def bearers(bob: Person) -> dict[Scope | None, str]:
    """A token, and a key of each scope, made while bob may make keys."""
    principal = find_principal(user_id=bob.user.id, tenant_slug="acme", workspace_slug="sales")
    assert principal is not None
    keys = {s: create_key(principal=principal, key=KeyInput(name=s, scopes=[s.value])).text for s in Scope}
    return {None: access_token(principal), **keys}


def is_allowed(action: str, roles: tuple[str, str], scope: Scope | None) -> bool:
    row = DOCUMENTED[action]
    return not row.roles.isdisjoint(roles) and (scope is None or scope in row.scopes)


@pytest.mark.parametrize("scope", KEYS)
def test_each_role_and_key_chats_as_the_table_says(client_of: Any, cast: Cast, scope: Scope | None) -> None:
    client = client_of(cast.bob)
    client.headers["Authorization"] = f"Bearer {bearers(cast.bob)[scope]}"
    wrong = []
    for roles in ROLES:
        plays(cast.bob, *roles)
        answer = client.post("/v1/chat/explain", json=body("hi"))
        if answer.json()["allowed"] != is_allowed("chat", roles, scope):
            wrong.append((roles, answer.text))
    assert wrong == []


@pytest.mark.parametrize("scope", KEYS)
def test_each_role_and_key_changes_conversations_as_the_table_says(
    client_of: Any, cast: Cast, scope: Scope | None
) -> None:
    client = client_of(cast.bob)
    conversation = send(client, "hi").json()["conversation_id"]
    client.headers["Authorization"] = f"Bearer {bearers(cast.bob)[scope]}"
    wrong = []
    for number, roles in enumerate(ROLES):
        plays(cast.bob, *roles)
        answer = client.patch(f"/v1/conversations/{conversation}", json={"title": f"Title {number}"})
        expected = 200 if is_allowed("conversations.change", roles, scope) else 403
        if answer.status_code != expected:
            wrong.append((roles, answer.text))
    assert wrong == []


@pytest.mark.parametrize("scope", KEYS)
def test_each_role_and_key_signs_out_of_mcp_servers_as_the_table_says(
    client_of: Any, cast: Cast, scope: Scope | None
) -> None:
    client, user_id = client_of(cast.bob), cast.bob.principal.user_id
    client.headers["Authorization"] = f"Bearer {bearers(cast.bob)[scope]}"
    with tenant_scope(cast.bob.principal.tenant):
        vault = MCPServer.objects.create(workspace_id=cast.bob.principal.workspace.id, **VAULT)
    wrong = []
    for roles in ROLES:
        plays(cast.bob, *roles)
        with tenant_scope(cast.bob.principal.tenant):
            vault.sign_ins.get_or_create(user_id=user_id)
        answer = client.delete("/v1/workspaces/sales/mcps/vault/sign-in")
        if answer.status_code != (204 if is_allowed("mcps.sign_in", roles, scope) else 403):
            wrong.append((roles, answer.text))
    assert wrong == []
