"""What clients send to change teams and workspaces and to let people join, by REST or by a form."""

from dataclasses import dataclass, field
from typing import Annotated

from accounts.inputs import WORKSPACE_ROLES, GivenRole, Name, WorkspaceRole
from accounts.models import Membership, Tenant, WorkspaceMember
from kit.errors import InvalidInput
from kit.fields import Choice, Help, Integer, Items, Secret, String

LINK_ROLES = [choice for choice in WORKSPACE_ROLES if choice[0] != WorkspaceMember.Role.MANAGER]
MOST_AT_ONCE = 100  # addresses of one list of invitations
MOST_WORKSPACES = 50  # of one invitation


@dataclass(frozen=True, kw_only=True)
class TenantChange:
    """A field that is left out stays as it is."""

    name: Name | None = None
    departed_conversations: Annotated[str, Choice(Tenant.Departed.choices)] | None = None


@dataclass(frozen=True, kw_only=True)
class WorkspaceChange:
    """A field that is left out stays as it is."""

    name: Name | None = None
    archived: bool | None = None
    default: Annotated[bool, Help("true: new members join this workspace by default")] | None = None

    def check(self) -> None:
        """InvalidInput for a change of nothing, and for a workspace that is to be the default no more."""
        if self == WorkspaceChange():
            raise InvalidInput(name=["Nothing to change: send name, archived or default."])
        if self.default is False:
            raise InvalidInput(
                default=[
                    "You cannot unset the default workspace. Make another workspace the default instead."
                ]
            )


@dataclass(frozen=True, kw_only=True)
class LinkInput:
    role: Annotated[str, Choice(LINK_ROLES)] = WorkspaceMember.Role.EDITOR.value
    most_uses: Annotated[int, Integer(1, 1000)] = 25
    days: Annotated[int, Integer(1, 30)] = 7


@dataclass(frozen=True, kw_only=True)
class WorkspaceRoleInput:
    workspace: Annotated[str, String(40)]
    role: WorkspaceRole = WorkspaceMember.Role.EDITOR.value


@dataclass(frozen=True, kw_only=True)
class InvitationInput:
    emails: Annotated[list[Annotated[str, String(320)]], Items(fewest=1, most=MOST_AT_ONCE)]
    role: GivenRole = Membership.Role.MEMBER.value
    workspaces: Annotated[list[WorkspaceRoleInput], Help("Default: the team's default workspace")] = field(
        default_factory=list
    )

    def workspace_roles(self) -> dict[str, str]:
        """A role for each workspace's slug. InvalidInput for too many workspaces."""
        if len(self.workspaces) > MOST_WORKSPACES:
            raise InvalidInput(workspaces=[f"Choose at most {MOST_WORKSPACES} workspaces."])
        return {row.workspace: row.role for row in self.workspaces}


@dataclass(frozen=True, kw_only=True)
class Accept:
    token: Annotated[str, String(200), Help("The last part of the link's URL")]
    password: Annotated[str, Secret(1000, is_trimmed=False)] = field(repr=False)
    name: Annotated[Name, Help("For a new account")] = ""
    code: Annotated[str, Secret(20)] = field(default="", repr=False)
