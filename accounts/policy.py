"""Who may do what: one table, read by pages, REST, consumers and templates alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from accounts.models import Membership, WorkspaceMember
from kit.errors import PersonRequired, RoleTooLow, ScopeMissing

OWNER, ADMIN = Membership.Role.OWNER.value, Membership.Role.ADMIN.value
MEMBER, GUEST = Membership.Role.MEMBER.value, Membership.Role.GUEST.value
MANAGER, EDITOR = WorkspaceMember.Role.MANAGER.value, WorkspaceMember.Role.EDITOR.value
VIEWER = WorkspaceMember.Role.VIEWER.value


class Scope(StrEnum):
    """What an API key is for. A key never does more than its owner may."""

    CHAT = "chat"
    READ = "read"
    MANAGE = "manage"


class Action(StrEnum):
    TENANT_VIEW = "tenant.view"
    TENANT_CHANGE = "tenant.change"
    OWNERSHIP_PASS = "ownership.pass"  # noqa: S105 - no password
    MEMBERS_VIEW = "members.view"
    MEMBERS_CHANGE = "members.change"
    INVITATIONS_VIEW = "invitations.view"
    INVITATIONS_CHANGE = "invitations.change"
    SERVICE_ACCOUNTS_VIEW = "service_accounts.view"
    SERVICE_ACCOUNTS_CHANGE = "service_accounts.change"
    TENANT_KEYS = "tenant_keys.change"
    AUDIT_VIEW = "audit.view"
    WORKSPACE_CREATE = "workspace.create"
    WORKSPACE_OVERSEE = "workspace.oversee"
    WORKSPACE_RESTORE = "workspace.restore"
    WORKSPACE_DELETE = "workspace.delete"
    WORKSPACE_CHANGE = "workspace.change"
    WORKSPACE_MEMBERS = "workspace.members"
    WORKSPACE_LINK = "workspace.link"
    WORKSPACE_VIEW = "workspace.view"
    MODELS_VIEW = "models.view"
    MCPS_VIEW = "mcps.view"
    MCPS_CHANGE = "mcps.change"
    PROMPTS_VIEW = "prompts.view"
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


@dataclass(frozen=True, slots=True)
class Rule:
    """Allowed to whoever has one of the roles; by an API key only with one of the scopes."""

    says: str
    tenant: frozenset[str] = frozenset()
    workspace: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()


def _rule(says: str, *roles: str, keys: tuple[Scope, ...] = ()) -> Rule:
    named = frozenset(roles)
    return Rule(
        says=says,
        tenant=named & frozenset(Membership.Role.values),
        workspace=named & frozenset(WorkspaceMember.Role.values),
        scopes=frozenset(keys),
    )


READS, CHATS, MANAGES = Scope.READ, Scope.CHAT, Scope.MANAGE
ROOM = (MANAGER, EDITOR, VIEWER)

POLICY: Mapping[Action, Rule] = MappingProxyType(
    {
        # The tenant's own matters.
        Action.TENANT_VIEW: _rule("See the team's page", OWNER, ADMIN, MEMBER, GUEST, keys=(READS, MANAGES)),
        Action.TENANT_CHANGE: _rule("Change the team's name and rules", OWNER, ADMIN, keys=(MANAGES,)),
        Action.OWNERSHIP_PASS: _rule("Offer the ownership to somebody", OWNER),
        Action.MEMBERS_VIEW: _rule("See everybody in the team", OWNER, ADMIN, MEMBER, keys=(READS, MANAGES)),
        Action.MEMBERS_CHANGE: _rule("Change roles, remove members", OWNER, ADMIN, keys=(MANAGES,)),
        Action.INVITATIONS_VIEW: _rule("See open invitations", OWNER, ADMIN, keys=(READS, MANAGES)),
        Action.INVITATIONS_CHANGE: _rule(
            "Invite people, withdraw an invitation", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.SERVICE_ACCOUNTS_VIEW: _rule("See service accounts", OWNER, ADMIN, keys=(READS, MANAGES)),
        Action.SERVICE_ACCOUNTS_CHANGE: _rule(
            "Add and remove service accounts, and their keys", OWNER, ADMIN
        ),
        Action.TENANT_KEYS: _rule("Make keys for the whole team, see and revoke anybody's", OWNER, ADMIN),
        Action.AUDIT_VIEW: _rule("Read the audit", OWNER, ADMIN, keys=(READS, MANAGES)),
        Action.USAGE_TEAM: _rule(
            "See everybody's use and all budgets of the team", OWNER, ADMIN, keys=(READS, MANAGES)
        ),
        Action.BUDGETS_TEAM: _rule(
            "Set budgets, limits, prices and the time zone", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.WORKSPACE_CREATE: _rule("Create a workspace", OWNER, ADMIN, keys=(MANAGES,)),
        Action.WORKSPACE_OVERSEE: _rule(
            "See every workspace, also those one is not in", OWNER, ADMIN, keys=(READS, MANAGES)
        ),
        Action.WORKSPACE_RESTORE: _rule(
            "Restore an archived or deleted workspace", OWNER, ADMIN, keys=(MANAGES,)
        ),
        Action.WORKSPACE_DELETE: _rule("Delete a workspace", OWNER, ADMIN, keys=(MANAGES,)),
        # A workspace's.
        Action.WORKSPACE_CHANGE: _rule("Rename or archive it", OWNER, ADMIN, MANAGER, keys=(MANAGES,)),
        Action.WORKSPACE_MEMBERS: _rule(
            "Add members of the team, change their roles", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.WORKSPACE_LINK: _rule("Open and close its link for newcomers", OWNER, ADMIN, keys=(MANAGES,)),
        Action.WORKSPACE_VIEW: _rule("See it and who is in it", OWNER, ADMIN, *ROOM, keys=(READS, MANAGES)),
        Action.MODELS_VIEW: _rule("See its models", *ROOM, keys=(READS, CHATS, MANAGES)),
        Action.MCPS_VIEW: _rule("See its MCP servers", *ROOM, keys=(READS, CHATS, MANAGES)),
        Action.MCPS_CHANGE: _rule(
            "Install MCP servers, say what their tools may do", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.PROMPTS_VIEW: _rule("See and use its prompts", *ROOM, keys=(READS, CHATS, MANAGES)),
        Action.PROMPTS_CHANGE: _rule("Write prompts, and change one's own", MANAGER, EDITOR, keys=(MANAGES,)),
        Action.MODELS_CHANGE: _rule(
            "Install models, enable them, keep their keys", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.USAGE_VIEW: _rule(
            "See one's own use, and the budgets that apply to it", *ROOM, keys=(READS, CHATS, MANAGES)
        ),
        Action.USAGE_EVERYBODY: _rule(
            "See everybody's use in it, and its budgets", OWNER, ADMIN, MANAGER, keys=(READS, MANAGES)
        ),
        Action.BUDGETS_WORKSPACE: _rule(
            "Set budgets of its members and keys", OWNER, ADMIN, MANAGER, keys=(MANAGES,)
        ),
        Action.CONVERSATIONS_VIEW: _rule(
            "Read one's own and shared conversations", *ROOM, keys=(READS, CHATS)
        ),
        Action.CONVERSATIONS_CHANGE: _rule(
            "Rename, share, delete one's own conversations", MANAGER, EDITOR, keys=(CHATS,)
        ),
        Action.CHAT: _rule("Send messages", MANAGER, EDITOR, keys=(CHATS,)),
        Action.KEYS_OWN: _rule("Make keys of one's own", MANAGER, EDITOR),
    }
)


class Actor(Protocol):
    """Whose rights are asked: the roles are empty where there is none; `scopes` None is a person."""

    @property
    def tenant_role(self) -> str: ...
    @property
    def workspace_role(self) -> str: ...
    @property
    def scopes(self) -> frozenset[Scope] | None: ...


def may(actor: Actor, action: Action) -> bool:
    rule = POLICY[action]
    has_role = actor.tenant_role in rule.tenant or actor.workspace_role in rule.workspace
    return has_role and (actor.scopes is None or not actor.scopes.isdisjoint(rule.scopes))


def expect(actor: Actor, action: Action) -> None:
    """RoleTooLow, ScopeMissing or PersonRequired, each saying what would do."""
    rule = POLICY[action]
    if actor.tenant_role not in rule.tenant and actor.workspace_role not in rule.workspace:
        role = actor.workspace_role if rule.workspace and actor.workspace_role else actor.tenant_role
        raise RoleTooLow(action=action, role=role, allowed=sorted(rule.tenant | rule.workspace))
    if actor.scopes is None or not actor.scopes.isdisjoint(rule.scopes):
        return
    if not rule.scopes:
        raise PersonRequired(action=action)
    raise ScopeMissing(action=action, allowed=sorted(rule.scopes))


class Permissions:
    """`{% if can.members_change %}` in templates: the same table, by the action's name."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def __getitem__(self, name: str) -> bool:
        return may(self._actor, Action[name.upper()])
