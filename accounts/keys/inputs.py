"""What clients send to create API keys and service accounts, by REST or by a form."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from accounts.inputs import Name, WorkspaceRole
from accounts.models import WorkspaceMember
from accounts.policy import Scope
from kit.fields import Choice, Items, Nullable

SCOPES = [(scope.value, scope.value) for scope in Scope]


@dataclass(frozen=True, kw_only=True)
class KeyInput:
    name: Name
    scopes: Annotated[list[Annotated[str, Choice(SCOPES)]], Items(fewest=1, most=3)]
    expires_at: Annotated[datetime, Nullable()] | None = None
    service_account: Annotated[UUID, Nullable()] | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceAccountInput:
    name: Name
    workspace_role: WorkspaceRole = WorkspaceMember.Role.EDITOR.value
