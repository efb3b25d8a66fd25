"""What can be done with a workspace's language models."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings

from workspaces.language_models.models import LanguageModel

LOCAL_SLUG = "local"
LOCAL_UPSTREAM = "smollm2-135m"
LOCAL_OUTPUT_BOUND = 512


@dataclass(frozen=True, slots=True)
class ModelRef:
    """An installed model as plain data; windows and bounds are tokens."""

    slug: str
    name: str
    provider: str
    upstream_name: str
    context_window: int
    output_bound: int
    enabled: bool
    created_at: datetime


def install_local_model(*, workspace_id: UUID) -> LanguageModel:
    """Enables the built-in model, so that a new workspace can chat at once."""
    return LanguageModel.objects.create(
        workspace_id=workspace_id,
        slug=LOCAL_SLUG,
        name="SmolLM2 135M",
        provider=LanguageModel.Provider.LOCAL,
        upstream_name=LOCAL_UPSTREAM,
        context_window=settings.LOCAL_MODEL_CONTEXT,
        output_bound=min(LOCAL_OUTPUT_BOUND, settings.LOCAL_MODEL_CONTEXT // 2),
        enabled=True,
    )


def installed_models(*, workspace_id: UUID) -> list[ModelRef]:
    """Every model of the workspace, by slug; a workspace has few."""
    rows = LanguageModel.objects.filter(workspace_id=workspace_id).order_by("slug")
    return [_ref(row) for row in rows]


def enabled_models(*, workspace_id: UUID) -> list[ModelRef]:
    return [model for model in installed_models(workspace_id=workspace_id) if model.enabled]


def _ref(row: LanguageModel) -> ModelRef:
    return ModelRef(
        slug=row.slug,
        name=row.name,
        provider=row.provider,
        upstream_name=row.upstream_name,
        context_window=row.context_window,
        output_bound=row.output_bound,
        enabled=row.enabled,
        created_at=row.created_at,
    )
