"""The kinds of things that a workspace holds. Routes, rail, admin, deletion and resealing loop over them."""

from typing import Any
from uuid import UUID

from django.db import transaction

from workspaces.kind import Kind
from workspaces.language_models.kind import KIND as LANGUAGE_MODELS
from workspaces.mcp_servers.kind import KIND as MCP_SERVERS
from workspaces.prompts.kind import KIND as PROMPTS

KINDS: tuple[Kind, ...] = (LANGUAGE_MODELS, MCP_SERVERS, PROMPTS)
RAIL = tuple(sorted(KINDS, key=lambda kind: kind.rail.position))


@transaction.atomic
def delete_contents(workspace_id: UUID) -> None:
    """Deletes all that a workspace holds, for good; inside the tenant's schema."""
    for kind in KINDS:
        kind.delete_rows(workspace_id)


def forget_member(*, workspace_id: UUID, user_id: UUID) -> None:
    """Deletes what belongs to a member in a workspace that they have left; inside the tenant's schema."""
    for kind in KINDS:
        if kind.forget_member is not None:
            kind.forget_member(workspace_id=workspace_id, user_id=user_id)


def forget_person(user_id: UUID) -> dict[str, Any]:
    """Deletes the private rows of someone who left the team, and counts them by kind."""
    hooks = {kind.name: kind.forget_person for kind in KINDS}
    return {name: forget(user_id=user_id) for name, forget in hooks.items() if forget is not None}
