"""Every cell of the policy by real requests: each action by each role, in person and by key."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.keys.bearer_secrets import hash_of
from accounts.models import ApiKey, Membership, OwnershipOffer, User, Workspace, WorkspaceMember
from accounts.policy import POLICY, Action, Scope
from accounts.principals import find_principal
from accounts.sign_in.tokens import access_token
from accounts.tests.cast import Cast
from accounts.tests.policy_table import PAGE, documented_rows
from kit.tenancy import tenant_scope
from workspaces.models import MCPServer, Prompt

# A request that only needs the action, so nothing else refuses it: method, URL, body. In `other` the person
# has a role or none; `locked` is an archived workspace that they were never in.
REQUESTS: dict[Action, tuple[str, str, Any]] = {
    Action.TENANT_VIEW: ("GET", "/v1/tenant", None),
    Action.TENANT_CHANGE: ("PATCH", "/v1/tenant", {"name": "Acme & Sons"}),
    Action.TENANT_LEAVE: ("DELETE", "/v1/tenant/members/{own}", None),
    Action.OWNERSHIP_PASS: ("POST", "/v1/tenant/ownership", {"user_id": "{other}"}),
    Action.OWNERSHIP_ACCEPT: ("POST", "/v1/tenant/ownership/accept", None),
    Action.MEMBERS_VIEW: ("GET", "/v1/tenant/members", None),
    Action.MEMBERS_CHANGE: ("PATCH", "/v1/tenant/members/{other}", {"role": "guest"}),
    Action.ADMINS_CHANGE: ("PATCH", "/v1/tenant/members/{other}", {"role": "admin"}),
    Action.INVITATIONS_VIEW: ("GET", "/v1/tenant/invitations", None),
    Action.INVITATIONS_CHANGE: ("POST", "/v1/tenant/invitations", {"emails": ["eve@example.com"]}),
    Action.SERVICE_ACCOUNTS_VIEW: ("GET", "/v1/tenant/service-accounts", None),
    Action.SERVICE_ACCOUNTS_CHANGE: ("POST", "/v1/tenant/service-accounts", {"name": "Robot"}),
    Action.TENANT_KEYS: ("GET", "/v1/tenant/api-keys", None),
    Action.AUDIT_VIEW: ("GET", "/v1/tenant/audit", None),
    Action.AUDIT_WORKSPACE: ("GET", "/v1/workspaces/other/audit", None),
    Action.WORKSPACE_CREATE: ("POST", "/v1/workspaces", {"name": "Annex"}),
    Action.WORKSPACE_OVERSEE: ("GET", "/v1/workspaces/locked", None),
    Action.WORKSPACE_RESTORE: ("PATCH", "/v1/workspaces/locked", {"archived": False}),
    Action.WORKSPACE_DELETE: ("DELETE", "/v1/workspaces/other", None),
    Action.WORKSPACE_CHANGE: ("PATCH", "/v1/workspaces/other", {"name": "Parlour"}),
    Action.WORKSPACE_MEMBERS: ("PUT", "/v1/workspaces/other/members/{other}", {"role": "viewer"}),
    Action.WORKSPACE_LINK: ("PUT", "/v1/workspaces/other/link", {"days": 1}),
    Action.WORKSPACE_VIEW: ("GET", "/v1/workspaces/other/members", None),
    Action.WORKSPACE_LEAVE: ("DELETE", "/v1/workspaces/other/members/{own}", None),
    Action.MODELS_VIEW: ("GET", "/v1/workspaces/other/models", None),
    Action.MCPS_VIEW: ("GET", "/v1/workspaces/other/mcps", None),
    Action.MCPS_CHANGE: ("PATCH", "/v1/workspaces/other/mcps/search", {"enabled": True}),
    Action.PROMPTS_VIEW: ("GET", "/v1/workspaces/other/prompts", None),
    Action.PROMPTS_USE: ("PUT", "/v1/workspaces/other/prompts/welcome/favourite", None),
    Action.PROMPTS_CHANGE: (
        "POST",
        "/v1/workspaces/other/prompts",
        {"slug": "greeting", "title": "Greeting", "text": "Hello"},
    ),
    Action.MODELS_CHANGE: ("GET", "/v1/workspaces/other/credentials", None),
    Action.USAGE_TEAM: ("GET", "/v1/budgets", None),
    Action.BUDGETS_TEAM: ("POST", "/v1/budgets", {"level": "tenant", "window": "day", "limit": 5}),
    Action.USAGE_EVERYBODY: ("GET", "/v1/workspaces/other/budgets", None),
    Action.BUDGETS_WORKSPACE: ("POST", "/v1/workspaces/other/budgets", {"limit": 5}),
    Action.USAGE_VIEW: ("GET", "/v1/workspaces/other/quota", None),
    Action.CONVERSATIONS_VIEW: ("GET", "/v1/conversations?workspace_id=other", None),
    Action.KEYS_OWN: ("GET", "/v1/workspaces/other/api-keys", None),
    Action.KEYS_REVOKE: ("DELETE", "/v1/api-keys/{spare}", None),
}
# Requests to a consumer, or that change what others read, or release the connection: tested in
# gateway/api/tests/test_policy.py.
ELSEWHERE = {Action.CHAT, Action.CONVERSATIONS_CHANGE, Action.MCPS_SIGN_IN}
EXPECTED = {200, 201, 202, 204, 403, 404}
Credential = Scope | None  # None: in person
CELLS = list(product(Membership.Role.values, ["", *WorkspaceMember.Role.values], [None, *Scope]))
DOCUMENTED = documented_rows()


def test_every_action_is_documented_and_tested() -> None:
    assert set(DOCUMENTED) == set(POLICY) == set(Action)
    assert set(REQUESTS) | ELSEWHERE == set(Action)


@pytest.mark.parametrize("action", Action)
def test_the_documented_table_equals_the_code(action: Action) -> None:
    rule, row = POLICY[action], DOCUMENTED[action]
    assert (rule.says, rule.tenant | rule.workspace, rule.scopes) == (row.says, row.roles, row.scopes)
    assert rule.in_workspace == row.bound


@dataclass
class Stage:
    """A person with a token for `home`, a workspace where they have a role or none, and another member."""

    membership: Membership
    workspace: Workspace
    other: User
    spare: ApiKey
    client: Client

    def plays(self, tenant_role: str, workspace_role: str) -> None:
        Membership.objects.filter(id=self.membership.id).update(role=tenant_role)
        if workspace_role:
            self.workspace.members.create(user=self.membership.user, role=workspace_role)

    def bearer(self, credential: Credential) -> str:
        if credential is None:
            principal = find_principal(
                user_id=self.membership.user_id, tenant_slug="acme", workspace_slug="sales"
            )
            assert principal is not None
            return access_token(principal)
        return self.key(credential)

    def key(self, *scopes: Scope, bound_to: Workspace | None = None) -> str:
        key_of(self.membership, "abcdefghij", scopes=list(scopes), workspace=bound_to)
        return "sy_abcdefghij_secret"

    def ask(self, action: Action, bearer: str) -> int:
        method, path, body = REQUESTS[action]
        fill = {"user_id": str(self.other.id)} if body and "user_id" in body else body
        named = {"other": self.other.id, "own": self.membership.user_id, "spare": self.spare.id}
        answer = self.client.generic(
            method,
            path.format(**named),
            data=b""
            if body is None
            else str(fill).replace("'", '"').replace("False", "false").replace("True", "true").encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {bearer}"},
        )
        return answer.status_code


def key_of(membership: Membership, prefix: str, **fields: Any) -> ApiKey:
    return ApiKey.objects.create(
        tenant=membership.tenant,
        owner=membership.user,
        membership_id=membership.id,
        name=prefix,
        prefix=prefix,
        secret_hash=hash_of("secret"),
        **fields,
    )


@pytest.fixture
def stage(db: None, cast: Cast, client: Client) -> Stage:
    home = Workspace.objects.get(id=cast.alice.principal.workspace.id)
    workspace = Workspace.objects.create(tenant=home.tenant, slug="other", name="Other")
    Workspace.objects.create(tenant=home.tenant, slug="locked", name="Locked", archived_at=home.created_at)
    user = User.objects.create_user("erin@example.com", None, name="Erin")
    with tenant_scope(home.tenant.ref):
        fill(workspace, user)
    WorkspaceMember.objects.create(workspace=home, user=user, role=WorkspaceMember.Role.EDITOR)
    membership = Membership.objects.create(tenant=home.tenant, user=user)
    soon = home.created_at + timedelta(days=7)
    OwnershipOffer.objects.create(
        tenant=home.tenant, offered_by=cast.alice.user, offered_to=user, expires_at=soon
    )
    spare = key_of(membership, "spare", scopes=["chat"])
    return Stage(membership=membership, workspace=workspace, other=cast.dana.user, spare=spare, client=client)


def fill(workspace: Workspace, user: User) -> None:
    """Adds the MCP server and prompt that the requests name."""
    MCPServer.objects.create(workspace_id=workspace.id, slug="search", url="https://search.example/mcp")
    Prompt.objects.create(
        workspace_id=workspace.id, user_id=user.id, slug="welcome", title="Welcome", text="Hello"
    )


@pytest.mark.slow
@pytest.mark.parametrize("action", REQUESTS)
def test_each_role_and_key_has_the_rights_in_the_table(stage: Stage, action: Action) -> None:
    row = DOCUMENTED[action]
    wrong = []
    for cell in CELLS:
        tenant_role, workspace_role, credential = cell
        has_role = not row.roles.isdisjoint({tenant_role, workspace_role})
        expected = has_role and (credential is None or credential in row.scopes)
        with undone():
            stage.plays(tenant_role, workspace_role)
            status = stage.ask(action, stage.bearer(credential))
        if (status < 400) != expected or status not in EXPECTED:
            wrong.append((*cell, status))
    assert wrong == []


@pytest.mark.parametrize("action", REQUESTS)
def test_a_bound_key_has_the_rights_in_the_table_only_in_its_workspace(stage: Stage, action: Action) -> None:
    """The person has every role, so it is the key that is refused."""
    row = DOCUMENTED[action]
    home = stage.membership.user.workspace_memberships.get().workspace
    wrong = []
    for scope in Scope:
        for bound_to, expected in ((stage.workspace, row.bound and scope in row.scopes), (home, False)):
            with undone():
                stage.plays("owner", "manager")
                status = stage.ask(action, stage.key(scope, bound_to=bound_to))
            if (status < 400) != expected or status not in EXPECTED:
                wrong.append((scope, bound_to.slug, status))
    assert wrong == []


class undone:
    """Rolls back everything inside."""

    def __enter__(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def __exit__(self, *exc: object) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)


def test_the_number_of_cells_equals_the_documented_one() -> None:
    """As in docs/policy.md."""
    assert len(CELLS) * len(REQUESTS) == 2496
    assert "2,496" in PAGE.read_text()
