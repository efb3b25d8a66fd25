"""The policy: one table of rights, used by pages, REST, consumers and templates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from accounts.errors import KeyBound, PersonRequired, RoleTooLow, ScopeMissing
from accounts.models import Membership, WorkspaceMember
from kit.errors import Forbidden

OWNER, ADMIN = Membership.Role.OWNER.value, Membership.Role.ADMIN.value
MEMBER, GUEST = Membership.Role.MEMBER.value, Membership.Role.GUEST.value
MANAGER, EDITOR = WorkspaceMember.Role.MANAGER.value, WorkspaceMember.Role.EDITOR.value
VIEWER = WorkspaceMember.Role.VIEWER.value


class Scope(StrEnum):
    """The purposes of an API key, which never has more rights than its owner."""

    CHAT = "chat"
    READ = "read"
    MANAGE = "manage"


class Action(StrEnum):
    TENANT_VIEW = "tenant.view"
    TENANT_CHANGE = "tenant.change"
    TENANT_LEAVE = "tenant.leave"
    OWNERSHIP_PASS = "ownership.pass"  # noqa: S105 - no password
    OWNERSHIP_ACCEPT = "ownership.accept"
    MEMBERS_VIEW = "members.view"
    MEMBERS_CHANGE = "members.change"
    ADMINS_CHANGE = "admins.change"
    INVITATIONS_VIEW = "invitations.view"
    INVITATIONS_CHANGE = "invitations.change"
    SERVICE_ACCOUNTS_VIEW = "service_accounts.view"
    SERVICE_ACCOUNTS_CHANGE = "service_accounts.change"
    TENANT_KEYS = "tenant_keys.change"
    AUDIT_VIEW = "audit.view"
    AUDIT_WORKSPACE = "audit.workspace"
    WORKSPACE_CREATE = "workspace.create"
    WORKSPACE_OVERSEE = "workspace.oversee"
    WORKSPACE_RESTORE = "workspace.restore"
    WORKSPACE_DELETE = "workspace.delete"
    WORKSPACE_CHANGE = "workspace.change"
    WORKSPACE_MEMBERS = "workspace.members"
    WORKSPACE_LINK = "workspace.link"
    WORKSPACE_VIEW = "workspace.view"
    WORKSPACE_LEAVE = "workspace.leave"
    MODELS_VIEW = "models.view"
    MCPS_VIEW = "mcps.view"
    MCPS_SIGN_IN = "mcps.sign_in"
    MCPS_CHANGE = "mcps.change"
    PROMPTS_VIEW = "prompts.view"
    PROMPTS_USE = "prompts.use"
    PROMPTS_CHANGE = "prompts.change"
    MODELS_CHANGE = "models.change"
    USAGE_VIEW = "usage.view"
    USAGE_EVERYBODY = "usage.everybody"
    USAGE_TEAM = "usage.team"
    BUDGETS_WORKSPACE = "budgets.workspace"
    BUDGETS_TEAM = "budgets.team"
    CONVERSATIONS_VIEW = "conversations.view"
    CONVERSATIONS_CHANGE = "conversations.change"
    CHAT = "chat"
    KEYS_OWN = "keys.own"
    KEYS_REVOKE = "keys.revoke"


@dataclass(frozen=True, slots=True)
class Rule:
    """Allowed to principals with one of the roles; to an API key only if it also has one of the scopes.

    A key bound to a workspace also needs `in_workspace`: the action concerns only that workspace.
    """

    says: str
    tenant: frozenset[str] = frozenset()
    workspace: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    in_workspace: bool = False


def _team_rule(says: str, *roles: str, keys: tuple[Scope, ...] = ()) -> Rule:
    """A rule about the whole team, which a key bound to one workspace never satisfies."""
    named = frozenset(roles)
    return Rule(
        says=says,
        tenant=named & frozenset(Membership.Role.values),
        workspace=named & frozenset(WorkspaceMember.Role.values),
        scopes=frozenset(keys),
    )


def _workspace_rule(says: str, *roles: str, keys: tuple[Scope, ...] = ()) -> Rule:
    """A rule about one workspace, which a key bound to it may satisfy."""
    return replace(_team_rule(says, *roles, keys=keys), in_workspace=bool(keys))


READS, CHATS, MANAGES = Scope.READ, Scope.CHAT, Scope.MANAGE
TEAM_ROLES = (OWNER, ADMIN, MEMBER, GUEST)
WORKSPACE_ROLES = (MANAGER, EDITOR, VIEWER)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

POLICY: Mapping[Action, Rule] = MappingProxyType(
    {
        # About the team; not for keys bound to a workspace.
        Action.TENANT_VIEW: _team_rule("See the team's page", *TEAM_ROLES, keys=(READS, MANAGES)),
        Action.TENANT_CHANGE: _team_rule("Change the team's name and rules", OWNER, ADMIN, keys=(MANAGES,)),
        Action.TENANT_LEAVE: _team_rule("Leave the team", *TEAM_ROLES),
        Action.OWNERSHIP_PASS: _team_rule("Offer the ownership to someone", OWNER),
        Action.OWNERSHIP_ACCEPT: _team_rule("Accept an ownership offer", *TEAM_ROLES),
        Action.MEMBERS_VIEW: _team_rule(
            "See everyone in the team", OWNER, ADMIN, MEMBER, keys=(READS, MANAGES)
        ),
        Action.MEMBERS_CHANGE: _team_rule("Change roles, remove members", OWNER, ADMIN, keys=(MANAGES,)),
        Action.ADMINS_CHANGE: _team_rule("Make someone an admin, invite an admin", OWNER, ADMIN),
        Action.INVITATIONS_VIEW: _team_rule("See open invitations", OWNER, ADMIN, keys=(READS, MANAGES)),
        Action.INVITATIONS_CHANGE: _team_rule(
            "Invite people, withdraw an invitation", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.SERVICE_ACCOUNTS_VIEW: _team_rule("See service accounts", OWNER, ADMIN, keys=(READS, MANAGES)),
        Action.SERVICE_ACCOUNTS_CHANGE: _team_rule(
            "Add and remove service accounts, and their keys", OWNER, ADMIN
        ),
        Action.TENANT_KEYS: _team_rule(
            "Create keys for the whole team, see and revoke anyone's", OWNER, ADMIN
        ),
        Action.AUDIT_VIEW: _team_rule("Read the team's audit", OWNER, ADMIN, keys=(READS, MANAGES)),
        Action.USAGE_TEAM: _team_rule(
            "See everyone's usage and all budgets of the team", OWNER, ADMIN, keys=(READS, MANAGES)
        ),
        Action.BUDGETS_TEAM: _team_rule(
            "Set budgets, limits, prices and the time zone", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.WORKSPACE_CREATE: _team_rule("Create a workspace", OWNER, ADMIN, keys=(MANAGES,)),
        Action.WORKSPACE_OVERSEE: _team_rule(
            "See every workspace, including those you are not in", OWNER, ADMIN, keys=(READS, MANAGES)
        ),
        Action.WORKSPACE_RESTORE: _team_rule(
            "Restore an archived or deleted workspace", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.WORKSPACE_DELETE: _team_rule("Delete a workspace", OWNER, ADMIN, keys=(MANAGES,)),
        # People who join by the link join the team as well.
        Action.WORKSPACE_LINK: _team_rule(
            "Create and turn off a workspace's invite link", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.KEYS_REVOKE: _team_rule("Revoke your own keys", *TEAM_ROLES),
        # About a workspace.
        Action.WORKSPACE_CHANGE: _workspace_rule(
            "Rename or archive the workspace", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.WORKSPACE_MEMBERS: _workspace_rule(
            "Add members of the team, change their roles", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.AUDIT_WORKSPACE: _workspace_rule(
            "Read the workspace's audit", OWNER, ADMIN, keys=(READS, MANAGES)
        ),
        Action.WORKSPACE_LEAVE: _workspace_rule("Leave the workspace", *WORKSPACE_ROLES),
        Action.WORKSPACE_VIEW: _workspace_rule(
            "See the workspace and its members", OWNER, ADMIN, *WORKSPACE_ROLES, keys=(READS, MANAGES)
        ),
        Action.MODELS_VIEW: _workspace_rule("See the models", *WORKSPACE_ROLES, keys=(READS, CHATS, MANAGES)),
        Action.MCPS_VIEW: _workspace_rule(
            "See the MCP servers", *WORKSPACE_ROLES, keys=(READS, CHATS, MANAGES)
        ),
        Action.MCPS_SIGN_IN: _workspace_rule(
            "Sign in to MCP servers, and disconnect", OWNER, ADMIN, *WORKSPACE_ROLES, keys=(CHATS, MANAGES)
        ),
        Action.MCPS_CHANGE: _workspace_rule(
            "Install MCP servers, set rules for their tools", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.PROMPTS_VIEW: _workspace_rule(
            "See the prompts", *WORKSPACE_ROLES, keys=(READS, CHATS, MANAGES)
        ),
        Action.PROMPTS_USE: _workspace_rule(
            "Use prompts, mark favourites", *WORKSPACE_ROLES, keys=(CHATS, MANAGES)
        ),
        Action.PROMPTS_CHANGE: _workspace_rule(
            "Create prompts, and change your own", MANAGER, EDITOR, keys=(MANAGES,)
        ),
        Action.MODELS_CHANGE: _workspace_rule(
            "Install and enable models, manage their API keys", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.USAGE_VIEW: _workspace_rule(
            "See your own usage, and the budgets that apply to it",
            *WORKSPACE_ROLES,
            keys=(READS, CHATS, MANAGES),
        ),
        Action.USAGE_EVERYBODY: _workspace_rule(
            "See everyone's usage in the workspace, and its budgets",
            OWNER,
            ADMIN,
            MANAGER,
            keys=(READS, MANAGES),
        ),
        Action.BUDGETS_WORKSPACE: _workspace_rule(
            "Set budgets for its members and API keys", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.CONVERSATIONS_VIEW: _workspace_rule(
            "Read your own and shared conversations", *WORKSPACE_ROLES, keys=(READS, CHATS)
        ),
        Action.CONVERSATIONS_CHANGE: _workspace_rule(
            "Rename, share, delete your own conversations", MANAGER, EDITOR, keys=(CHATS,)
        ),
        Action.CHAT: _workspace_rule("Send messages", MANAGER, EDITOR, keys=(CHATS,)),
        Action.KEYS_OWN: _workspace_rule("Create your own keys", MANAGER, EDITOR),
    }
)


class HasRoles(Protocol):
    """A Principal, or anything with its roles, which may be empty. `scopes` is None for a person.

    `is_bound`: an API key of one workspace, the principal's.
    """

    @property
    def tenant_role(self) -> str: ...
    @property
    def workspace_role(self) -> str: ...
    @property
    def scopes(self) -> frozenset[Scope] | None: ...
    @property
    def is_bound(self) -> bool: ...


def may(principal: HasRoles, action: Action) -> bool:
    return _refusal(principal, action) is None


def expect(principal: HasRoles, action: Action) -> None:
    """RoleTooLow, PersonRequired, ScopeMissing or KeyBound, with the roles or scopes that have the right."""
    refusal = _refusal(principal, action)
    if refusal is not None:
        raise refusal


def _refusal(principal: HasRoles, action: Action) -> Forbidden | None:
    rule = POLICY[action]
    if principal.tenant_role not in rule.tenant and principal.workspace_role not in rule.workspace:
        in_workspace = rule.workspace and principal.workspace_role
        role = principal.workspace_role if in_workspace else principal.tenant_role
        return RoleTooLow(action=action, role=role, allowed=sorted(rule.tenant | rule.workspace))
    if principal.scopes is None:
        return None
    if not rule.scopes:
        return PersonRequired(action=action)
    if principal.scopes.isdisjoint(rule.scopes):
        text = f"This API key lacks the scope {' or '.join(sorted(rule.scopes))}."
        return ScopeMissing(text, action=action, allowed=sorted(rule.scopes))
    if principal.is_bound and not rule.in_workspace:
        return KeyBound(action=action)
    return None


def expect_person(principal: HasRoles) -> None:
    """PersonRequired for any API key; for requests that need no action of the table."""
    if principal.scopes is not None:
        raise PersonRequired


class Permissions:
    """`{% if can.members_change %}` in templates: the policy by the action's name."""

    def __init__(self, principal: HasRoles) -> None:
        self._principal = principal

    def __getitem__(self, name: str) -> bool:
        return may(self._principal, Action[name.upper()])
