"""What a running turn's person may still use, asked anew at each of its model calls."""

from uuid import UUID

from accounts.principals import chat_role
from gateway.errors import ModelNotAllowed, ModelNotEnabled
from kit.errors import TurnInterrupted
from workspaces.language_models.model_access import Chatter
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models


def models_now(*, user_id: UUID, workspace_id: UUID, model: str) -> tuple[ModelRef, ...]:
    """The model by its slug and those that stand in for it, with the keys that they have now.

    In the tenant's schema. TurnInterrupted for somebody who may no longer chat here, ModelNotEnabled and
    ModelNotAllowed for a model that was disabled, removed or closed to them while the turn ran.
    """
    role = chat_role(user_id, workspace_id)
    if not role:
        raise TurnInterrupted("Your access to this workspace has ended.")
    person = Chatter(user_id, role)
    installed = installed_models(workspace_id=workspace_id)
    found = next((row for row in installed if row.slug == model and row.enabled), None)
    if found is None:
        raise ModelNotEnabled(model=model, enabled=[])
    if refusal := found.access.refusal(person):
        raise ModelNotAllowed(refusal, model=model)
    return tuple(fallback_chain(found, installed, person))
