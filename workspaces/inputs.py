"""What clients send to sign up and to open a team or a workspace, by REST or by a form."""

from dataclasses import dataclass, field
from typing import Annotated

from accounts.inputs import Name
from accounts.teams.slugs import LONGEST
from kit.fields import Email, Secret, Slug

FIRST_WORKSPACE = "General"


@dataclass(frozen=True, kw_only=True)
class SignUp:
    email: Annotated[str, Email()]
    password: Annotated[str, Secret(1000, is_trimmed=False)] = field(repr=False)
    name: Name
    tenant_name: Name
    workspace_name: Name = FIRST_WORKSPACE


@dataclass(frozen=True)
class TeamInput:
    name: Name


@dataclass(frozen=True)
class WorkspaceInput:
    name: Name
    slug: Annotated[str, Slug(LONGEST)] | None = None  # None: made from the name
