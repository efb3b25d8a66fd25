"""REST for the catalogue: listing it, and installing models from it."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.policy import Action
from kit.inputs import read_body, serializer_of
from workspaces.language_models import catalogue, catalogue_install
from workspaces.language_models.api.models import models_data
from workspaces.language_models.inputs import CatalogueInstallation
from workspaces.language_models.serializers import CatalogueSerializer, ModelsSerializer


class CatalogueInstallView(WorkspaceView):
    policy: ClassVar = {"POST": Action.MODELS_CHANGE}

    @extend_schema(
        operation_id="install_from_catalogue",
        tags=["models"],
        request=serializer_of(CatalogueInstallation),
        responses={201: ModelsSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Installs models of a catalogue provider with a key, once the first of them has answered."""
        rows = catalogue_install.install_from_catalogue(
            principal=self.principal, chosen=read_body(CatalogueInstallation, request.data)
        )
        slugs = {row.slug for row in rows}
        data = [row for row in models_data(self.principal) if row["slug"] in slugs]
        return Response(ModelsSerializer({"data": data}).data, status=201)


class CatalogueView(PolicyView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW}

    @extend_schema(operation_id="model_catalogue", tags=["models"], responses=CatalogueSerializer)
    def get(self, request: Request) -> Response:
        """Lists the catalogue: providers and the models that can be installed with a key."""
        return Response(CatalogueSerializer(catalogue.read_catalogue()).data)
