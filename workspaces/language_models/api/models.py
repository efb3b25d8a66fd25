"""REST for a workspace's models: those one may use, installing, changing and trying them."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action, may
from accounts.principals import Principal
from accounts.sign_in.api import checked
from kit.errors import NotFound
from kit.tenancy import tenant_scope
from quotas.workspace_prices import rates_in_force
from workspaces.language_models import services
from workspaces.language_models.api.probe import ProbingView
from workspaces.language_models.probe import probe
from workspaces.language_models.queries import find_model, known_models, ref_of
from workspaces.language_models.serializers import (
    BulkSerializer,
    ModelChangeSerializer,
    ModelSerializer,
    ModelsSerializer,
    ModelWishSerializer,
)

PLAIN_FIELDS = (
    "id",
    "slug",
    "name",
    "provider",
    "context_window",
    "output_bound",
    "enabled",
    "fallback",
    "parameters",
    "created_at",
)


class ModelsView(ProbingView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW, "POST": Action.MODELS_CHANGE}

    @extend_schema(operation_id="workspace_models", tags=["models"], responses=ModelsSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the language models that you may use here; those who may change them see all."""
        return Response(ModelsSerializer({"data": told_models(self.place)}).data)

    @extend_schema(
        operation_id="install_model",
        tags=["models"],
        request=ModelWishSerializer,
        responses={201: ModelSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Installs a model of one of the workspace's credentials once it answers; private until enabled."""
        wish = checked(ModelWishSerializer, request)
        is_tested = wish.pop("test")
        self.save(lambda: services.add_model(principal=self.place, **wish), ref=ref_of, is_tested=is_tested)
        return Response(ModelSerializer(told_model(self.place, wish["slug"])).data, status=201)


def told_models(place: Principal) -> list[dict[str, Any]]:
    """The models that somebody may know of, with their prices."""
    seen, changes = known_models(place), may(place, Action.MODELS_CHANGE)
    rates = rates_in_force(place.workspace.id, [(m.slug, m.provider, m.upstream_name) for m in seen])
    return [
        {name: getattr(model, name) for name in PLAIN_FIELDS}
        | {"price": rates.get(model.slug), "abilities": sorted(model.abilities)}
        | {"access": model.access.as_data() if changes else None}
        for model in seen
    ]


def told_model(place: Principal, slug: str) -> dict[str, Any]:
    """By slug or id. NotFound also for one that they may not use, to those who could not change that."""
    told = told_models(place)
    found = next((row for row in told if slug in (row["slug"], str(row["id"]))), None)
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
        return Response(ModelSerializer(told_model(self.place, model)).data)

    @extend_schema(
        operation_id="change_model", tags=["models"], request=ModelChangeSerializer, responses=ModelSerializer
    )
    def patch(self, request: Request, workspace: str, model: str) -> Response:
        """Changes the name, access, output limit, parameters, abilities or fallback of a model."""
        services.change_model(principal=self.place, slug=model, **checked(ModelChangeSerializer, request))
        return Response(ModelSerializer(told_model(self.place, model)).data)

    @extend_schema(operation_id="remove_model", tags=["models"], responses={204: None})
    def delete(self, request: Request, workspace: str, model: str) -> Response:
        """Deletes a model permanently; its slug can be used again."""
        services.remove_model(principal=self.place, slug=model)
        return Response(status=204)


class ModelsBulkView(WorkspaceView):
    policy: ClassVar = {"POST": Action.MODELS_CHANGE}

    @extend_schema(
        operation_id="change_models", tags=["models"], request=BulkSerializer, responses=ModelsSerializer
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Enables or disables several models: all of them or none."""
        wish = checked(BulkSerializer, request)
        services.change_models(principal=self.place, slugs=wish["models"], enabled=wish["enabled"])
        return Response(ModelsSerializer({"data": told_models(self.place)}).data)


class ModelTestView(ProbingView):
    policy: ClassVar = {"POST": Action.MODELS_CHANGE}

    @extend_schema(operation_id="test_model", tags=["models"], request=None, responses=ModelSerializer)
    def post(self, request: Request, workspace: str, model: str) -> Response:
        """Sends the model a short request, at your expense; a refusal names the field that is wrong."""
        found = find_model(workspace_id=self.place.workspace.id, slug=model)
        self.release_connection()
        probe(self.place, found)
        with tenant_scope(self.place.tenant):
            return Response(ModelSerializer(told_model(self.place, found.slug)).data)
