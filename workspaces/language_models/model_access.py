"""Who in a workspace may use a model: everyone, or some roles and members; a denial wins."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

from accounts.models import WorkspaceMember
from accounts.principals import Principal
from kit.errors import InvalidInput

MOST_MEMBERS = 500  # named individually, on both sides together
ROLES = WorkspaceMember.Role.values


class Person(Protocol):
    """A Principal, or the person of a running turn."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def workspace_role(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Chatter:
    """The person of a running turn, with their current role."""

    user_id: UUID
    workspace_role: str


@dataclass(frozen=True, slots=True)
class Group:
    """Some members of a workspace, by role or individually."""

    roles: frozenset[str] = frozenset()
    members: frozenset[UUID] = frozenset()

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Group":
        members = (UUID(str(member)) for member in data.get("members", ()))
        return cls(frozenset(data.get("roles", ())), frozenset(members))

    def as_data(self) -> dict[str, list[str]]:
        return {"roles": sorted(self.roles), "members": sorted(map(str, self.members))}

    def has(self, person: Person) -> bool:
        return person.workspace_role in self.roles or person.user_id in self.members

    @property
    def is_empty(self) -> bool:
        return not self.roles and not self.members


@dataclass(frozen=True, slots=True)
class Access:
    """An empty `allow` means everyone; `deny` wins, also over managers and owners."""

    allow: Group = field(default_factory=Group)
    deny: Group = field(default_factory=Group)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Access":
        return cls(Group.from_data(data.get("allow", {})), Group.from_data(data.get("deny", {})))

    def as_data(self) -> dict[str, dict[str, list[str]]]:
        return {"allow": self.allow.as_data(), "deny": self.deny.as_data()}

    def but(self, groups: dict[str, Group]) -> "Access":
        """With the given sides of `allow` and `deny` replaced."""
        return replace(self, **groups)

    @property
    def named(self) -> frozenset[UUID]:
        """All members named individually, on either side."""
        return self.allow.members | self.deny.members

    @property
    def is_open(self) -> bool:
        return self.allow.is_empty and self.deny.is_empty

    def refusal(self, person: Person) -> str:
        """Why the person may not use the model, in a sentence for them; empty if they may."""
        if person.user_id in self.deny.members:
            return "You have been denied access to this model."
        if person.workspace_role in self.deny.roles:
            return f"The {person.workspace_role} role is denied access to this model."
        if self.allow.is_empty or self.allow.has(person):
            return ""
        if not self.allow.roles:
            return "Access to this model is restricted."
        named = " or ".join(role for role in ROLES if role in self.allow.roles)
        return f"This model needs the {named} role{' or named members' if self.allow.members else ''}."


def checked_access(principal: Principal, access: Access, *, before: Access) -> Access:
    """InvalidInput for unknown roles, and for people who are not in the workspace.

    People named `before` may stay named after they left: removing the last would open the model to everyone.
    """
    named, known = access.named, before.named
    wrong: list[str] = []
    if unknown := sorted((access.allow.roles | access.deny.roles) - set(ROLES)):
        wrong.append(f"Unknown role: {unknown[0]}.")
    if len(named) > MOST_MEMBERS:
        wrong.append(f"Select at most {MOST_MEMBERS} members.")
    elif strangers := named - known - _members(principal, named):
        wrong.append(f"{min(map(str, strangers))} is not a member of this workspace.")
    if wrong:
        raise InvalidInput(access=wrong)
    return access


def _members(principal: Principal, named: Iterable[UUID]) -> set[UUID]:
    members = WorkspaceMember.objects.filter(workspace=principal.workspace.id, user__in=list(named))
    return set(members.values_list("user_id", flat=True))
