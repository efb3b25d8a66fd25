"""What a running turn's person may still use, asked anew at each of its model calls."""

from uuid import UUID

from accounts.principals import chat_role
from gateway.errors import ModelNotAllowed, ModelNotEnabled
from kit.errors import TurnInterrupted
from workspaces.language_models.model_access import Chatter
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models


def models_now(
    *, user_id: UUID, workspace_id: UUID, model: str, model_id: UUID | None
) -> tuple[ModelRef, ...]:
    """The model and its fallbacks, with the keys that they have now.

    By its id, since its slug may have become another model's; by its slug where the turn has no id yet.

    In the tenant's schema. TurnInterrupted for somebody who may no longer chat here, ModelNotEnabled and
    ModelNotAllowed for a model that was disabled, removed or closed to them while the turn ran.
    """
    role = chat_role(user_id, workspace_id)
    if not role:
        raise TurnInterrupted("Its person may no longer chat here.")
    person = Chatter(user_id, role)
    installed = installed_models(workspace_id=workspace_id)
    found = next((row for row in installed if row.enabled and is_named(row, model, model_id)), None)
    if found is None:
        raise ModelNotEnabled(model=model, enabled=[])
    if refusal := found.access.refusal(person):
        raise ModelNotAllowed(refusal, model=model)
    return tuple(fallback_chain(found, installed, person))


def is_named(row: ModelRef, slug: str, model_id: UUID | None) -> bool:
    """Whether a turn that stored this slug and id means the model."""
    return row.id == model_id if model_id else row.slug == slug
