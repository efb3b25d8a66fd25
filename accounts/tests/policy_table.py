"""The policy as docs/policy.md documents it, which the tests compare with the code."""

from dataclasses import dataclass
from pathlib import Path

from accounts.models import Membership, WorkspaceMember

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
ROLES = [*Membership.Role.values, *WorkspaceMember.Role.values]


@dataclass(frozen=True)
class Row:
    action: str
    says: str
    roles: frozenset[str]
    scopes: frozenset[str]
    bound: bool


def documented_rows() -> dict[str, Row]:
    """Each line of a table that begins with an action's name in backticks."""
    rows = {}
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        action, says, *marks, scopes, bound = [cell.strip() for cell in line.strip("|").split("|")]
        allowed = frozenset(role for role, mark in zip(ROLES, marks, strict=True) if mark == "yes")
        keys = frozenset(scope.strip("` ") for scope in scopes.split(",") if scope.strip("` -"))
        rows[action.strip("`")] = Row(action.strip("`"), says, allowed, keys, bound == "yes")
    return rows
