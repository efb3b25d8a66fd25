"""Who in a workspace may use a model: everybody, or some roles and members; whoever is denied may not."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

from accounts.models import WorkspaceMember
from accounts.principals import Principal
from kit.errors import InvalidInput

MOST_MEMBERS = 500  # that are named one by one
ROLES = WorkspaceMember.Role.values


class Person(Protocol):
    """Who asks: a Principal, or the person of a turn that runs."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def workspace_role(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Chatter:
    """The person of a running turn, with the role that they have now."""

    user_id: UUID
    workspace_role: str


@dataclass(frozen=True, slots=True)
class Group:
    """Some of a workspace's people, by role or by name."""

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
    """Nobody named in `allow` means everybody; `deny` wins over it, also over managers and owners."""

    allow: Group = field(default_factory=Group)
    deny: Group = field(default_factory=Group)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Access":
        return cls(Group.from_data(data.get("allow", {})), Group.from_data(data.get("deny", {})))

    def as_data(self) -> dict[str, dict[str, list[str]]]:
        return {"allow": self.allow.as_data(), "deny": self.deny.as_data()}

    def but(self, groups: dict[str, Group]) -> "Access":
        """With other groups of `allow` and `deny`; one that is not named stays as it is."""
        return replace(self, **groups)

    @property
    def named(self) -> frozenset[UUID]:
        """Everybody who is, on whichever side."""
        return self.allow.members | self.deny.members

    @property
    def is_open(self) -> bool:
        return self.allow.is_empty and self.deny.is_empty

    def refusal(self, person: Person) -> str:
        """Why the person may not use the model, in words for them; empty where they may."""
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


def checked_access(place: Principal, access: Access, *, before: Access) -> Access:
    """InvalidInput for roles that there are not, and for people who are not in the workspace.

    Whoever was named `before` may stay named: a member who left would open the model to everybody else.
    """
    named, known = access.named, before.named
    wrong: list[str] = []
    if unknown := sorted((access.allow.roles | access.deny.roles) - set(ROLES)):
        wrong.append(f"Unknown role: {unknown[0]}.")
    if len(named) > MOST_MEMBERS:
        wrong.append(f"Select at most {MOST_MEMBERS} members.")
    elif strangers := named - known - _members(place, named):
        wrong.append(f"{min(map(str, strangers))} is not a member of this workspace.")
    if wrong:
        raise InvalidInput(access=wrong)
    return access


def _members(place: Principal, named: Iterable[UUID]) -> set[UUID]:
    inside = WorkspaceMember.objects.filter(workspace=place.workspace.id, user__in=list(named))
    return set(inside.values_list("user_id", flat=True))
