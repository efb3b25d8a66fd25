"""REST for a workspace's models: listing, installing, changing and testing them."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import NotFound
from kit.inputs import read_body, serializer_of
from quotas.workspace_prices import rates_in_force
from workspaces.language_models import services
from workspaces.language_models.inputs import ModelChange, ModelInstallation, ModelsChange
from workspaces.language_models.queries import ModelRef, known_models
from workspaces.language_models.serializers import ModelSerializer, ModelsSerializer

COPIED_FIELDS = (
    "id",
    "slug",
    "name",
    "kind",
    "provider",
    "context_window",
    "output_bound",
    "enabled",
    "fallback",
    "parameters",
    "created_at",
)
MANAGERS_FIELDS = ("access", "upstream_name", "credential_id")  # null for those who may not change models


class ModelsView(WorkspaceView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW, "POST": Action.MODELS_CHANGE}

    @extend_schema(operation_id="workspace_models", tags=["models"], responses=ModelsSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the language models that you may use in the workspace; those who may change them see all."""
        return Response(ModelsSerializer({"data": models_data(self.principal)}).data)

    @extend_schema(
        operation_id="install_model",
        tags=["models"],
        request=serializer_of(ModelInstallation),
        responses={201: ModelSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Installs a model of one of the workspace's credentials once it answers; private until enabled."""
        model = read_body(ModelInstallation, request.data)
        row = services.add_model(
            principal=self.principal,
            model=model,
            credential=model.credential_id,
            is_tested=model.test,
        )
        return Response(ModelSerializer(model_data(self.principal, row.slug)).data, status=201)


def models_data(principal: Principal) -> list[dict[str, Any]]:
    """The models visible to `principal`, with their prices."""
    models, may_change = known_models(principal), may(principal, Action.MODELS_CHANGE)
    named = [(model.slug, model.provider, model.upstream_name) for model in models]
    rates = rates_in_force(principal.workspace.id, named)
    return [
        {name: getattr(model, name) for name in COPIED_FIELDS}
        | {"price": rates.get(model.slug), "abilities": sorted(model.abilities)}
        | (_managers_data(model) if may_change else dict.fromkeys(MANAGERS_FIELDS))
        for model in models
    ]


def _managers_data(model: ModelRef) -> dict[str, Any]:
    """The values of MANAGERS_FIELDS."""
    credential_id = model.endpoint.credential_id if model.endpoint else None
    return {
        "access": model.access.as_data(),
        "upstream_name": model.upstream_name,
        "credential_id": credential_id,
    }


def model_data(principal: Principal, slug: str) -> dict[str, Any]:
    """By slug or id. NotFound, also for a model that the principal may neither use nor change."""
    models = models_data(principal)
    found = next((row for row in models if slug in (row["slug"], str(row["id"]))), None)
    if found is None:
        raise NotFound
    return found


class ModelView(WorkspaceView):
    policy: ClassVar = {
        "GET": Action.MODELS_VIEW,
        "PATCH": Action.MODELS_CHANGE,
        "DELETE": Action.MODELS_CHANGE,
    }

    @extend_schema(operation_id="workspace_model", tags=["models"], responses=ModelSerializer)
    def get(self, request: Request, workspace: str, model: str) -> Response:
        """Returns a model."""
        return Response(ModelSerializer(model_data(self.principal, model)).data)

    @extend_schema(
        operation_id="change_model",
        tags=["models"],
        request=serializer_of(ModelChange),
        responses=ModelSerializer,
    )
    def patch(self, request: Request, workspace: str, model: str) -> Response:
        """Changes a model, or moves it to another provider, credential or model ID. Its slug stays."""
        change = read_body(ModelChange, request.data)
        services.change_model(principal=self.principal, slug=model, change=change)
        return Response(ModelSerializer(model_data(self.principal, model)).data)

    @extend_schema(operation_id="remove_model", tags=["models"], responses={204: None})
    def delete(self, request: Request, workspace: str, model: str) -> Response:
        """Deletes a model permanently; its slug can be used again."""
        services.remove_model(principal=self.principal, slug=model)
        return Response(status=204)


class ModelsBulkView(WorkspaceView):
    policy: ClassVar = {"POST": Action.MODELS_CHANGE}

    @extend_schema(
        operation_id="change_models",
        tags=["models"],
        request=serializer_of(ModelsChange),
        responses=ModelsSerializer,
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Enables or disables several models: all of them or none."""
        change = read_body(ModelsChange, request.data)
        services.change_models(principal=self.principal, slugs=change.models, enabled=change.enabled)
        return Response(ModelsSerializer({"data": models_data(self.principal)}).data)


class ModelTestView(WorkspaceView):
    policy: ClassVar = {"POST": Action.MODELS_CHANGE}

    @extend_schema(operation_id="test_model", tags=["models"], request=None, responses=ModelSerializer)
    def post(self, request: Request, workspace: str, model: str) -> Response:
        """Sends the model a short request, at your expense; a refusal names the field that is wrong."""
        found = services.test_model(principal=self.principal, slug=model)
        return Response(ModelSerializer(model_data(self.principal, found.slug)).data)
