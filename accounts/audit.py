"""Writes the audit: one line for each thing done to accounts and access, and for each refusal."""

from typing import Any
from uuid import UUID

from accounts.models import AuditEntry
from accounts.principals import Principal
from kit import requests


def record(
    action: str,
    *,
    principal: Principal | None = None,
    actor_id: UUID | None = None,
    tenant_id: UUID | None = None,
    workspace_id: UUID | None = None,
    target: str = "",
    **details: Any,
) -> None:
    """Adds an AuditEntry for the current request; a principal stands for actor, tenant and workspace."""
    origin = requests.current()
    if principal is not None:
        actor_id, tenant_id = principal.user_id, principal.tenant.id
        workspace_id = principal.workspace.id
    AuditEntry.objects.create(
        action=action,
        actor_id=actor_id,
        tenant_id=tenant_id,
        workspace_id=workspace_id,
        target=target[:200],
        details=details,
        address=origin.address,
        request_id=origin.request_id,
    )
