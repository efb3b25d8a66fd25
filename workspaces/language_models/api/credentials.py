"""REST for a workspace's credentials at providers: stored encrypted, and tested before they are saved."""

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action
from kit.inputs import read_body, serializer_of
from workspaces.language_models import credential_services as services
from workspaces.language_models.inputs import CredentialChange, CredentialInput
from workspaces.language_models.serializers import (
    ProviderCredentialSerializer,
    ProviderCredentialsSerializer,
)


class CredentialsView(WorkspaceView):
    policy: ClassVar = {"GET": Action.MODELS_CHANGE, "POST": Action.MODELS_CHANGE}

    @extend_schema(operation_id="credentials", tags=["models"], responses=ProviderCredentialsSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the workspace's provider credentials, without the keys' text."""
        return Response(ProviderCredentialsSerializer({"data": services.credentials_of(self.principal)}).data)

    @extend_schema(
        operation_id="create_credential",
        tags=["models"],
        request=serializer_of(CredentialInput),
        responses={201: ProviderCredentialSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Creates a credential, stored encrypted once the provider accepts it; models can share it."""
        row = services.create_credential(
            principal=self.principal, credential=read_body(CredentialInput, request.data)
        )
        return Response(ProviderCredentialSerializer(row).data, status=201)


class CredentialView(WorkspaceView):
    policy: ClassVar = {"PATCH": Action.MODELS_CHANGE, "DELETE": Action.MODELS_CHANGE}

    @extend_schema(
        operation_id="change_credential",
        tags=["models"],
        request=serializer_of(CredentialChange),
        responses=ProviderCredentialSerializer,
    )
    def patch(self, request: Request, workspace: str, credential_id: UUID) -> Response:
        """Replaces the key from the next call on, for all its models; a new address needs the key again."""
        row = services.change_credential(
            principal=self.principal,
            credential_id=credential_id,
            change=read_body(CredentialChange, request.data),
        )
        counted = services.credentials_of(self.principal).filter(id=row.id).first() or row
        return Response(ProviderCredentialSerializer(counted).data)

    @extend_schema(operation_id="remove_credential", tags=["models"], responses={204: None})
    def delete(self, request: Request, workspace: str, credential_id: UUID) -> Response:
        """Deletes a credential that no model uses."""
        services.remove_credential(principal=self.principal, credential_id=credential_id)
        return Response(status=204)
