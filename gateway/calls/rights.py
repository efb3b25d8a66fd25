"""The models that a running turn's person may still use, checked at each of its model calls."""

from uuid import UUID

from accounts.principals import chat_role
from gateway.errors import ModelNotAllowed, ModelNotEnabled
from kit.errors import TurnInterrupted
from workspaces.language_models.model_access import Chatter
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models


def models_now(
    *,
    user_id: UUID,
    workspace_id: UUID,
    model: str,
    model_id: UUID | None,
    needed: frozenset[str] = frozenset(),
) -> tuple[ModelRef, ...]:
    """The model and its fallback models with the `needed` abilities, with their current keys.

    Found by its id, since another model may have its slug by now; by its slug if the turn has no id.

    In the tenant's schema. TurnInterrupted for a person who may no longer chat in the workspace,
    ModelNotEnabled and ModelNotAllowed for a model that was disabled, removed or denied to them meanwhile.
    """
    role = chat_role(user_id, workspace_id)
    if not role:
        raise TurnInterrupted("Your access to this workspace has ended.")
    person = Chatter(user_id, role)
    installed = installed_models(workspace_id=workspace_id)
    found = next((row for row in installed if row.enabled and is_named(row, model, model_id)), None)
    if found is None:
        raise ModelNotEnabled(model=model, enabled=[])
    if refusal := found.access.refusal(person):
        raise ModelNotAllowed(refusal, model=model)
    return tuple(fallback_chain(found, installed, person, needed))


def is_named(row: ModelRef, slug: str, model_id: UUID | None) -> bool:
    """Whether a turn that stored this slug and id means the model."""
    return row.id == model_id if model_id else row.slug == slug
