"""REST for a workspace's credentials at providers: kept sealed, tried before they are saved, never told."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.policy import Action
from accounts.serializers import NameField
from accounts.sign_in.api import checked
from workspaces.language_models import services
from workspaces.language_models.api.probe import ProbingView, TestField
from workspaces.language_models.models import ProviderCredential
from workspaces.language_models.queries import endpoint_ref, probe_ref
from workspaces.language_models.serializers import KeyField


class ProviderCredentialSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    base_url = serializers.CharField()
    has_key = serializers.SerializerMethodField()
    models = serializers.IntegerField(
        source="models_count", default=0, help_text="Number of models that use it"
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_has_key(self, row: ProviderCredential) -> bool:
        """Whether there is one; never the key."""
        return bool(row.sealed_key)


class ProviderCredentialsSerializer(serializers.Serializer[Any]):
    data = ProviderCredentialSerializer(many=True)  # type: ignore[assignment]


class CredentialWishSerializer(serializers.Serializer[Any]):
    name = NameField()
    kind = serializers.ChoiceField(ProviderCredential.Kind.choices)
    key = KeyField(required=False, default="")
    base_url = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    test = TestField()


class CredentialChangeSerializer(serializers.Serializer[Any]):
    name = NameField(required=False)
    key = KeyField(required=False)
    base_url = serializers.CharField(max_length=500, required=False)
    test = TestField()


class CredentialsView(ProbingView):
    policy: ClassVar = {"GET": Action.MODELS_CHANGE, "POST": Action.MODELS_CHANGE}

    @extend_schema(operation_id="credentials", tags=["models"], responses=ProviderCredentialsSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the workspace's provider credentials, without the keys' text."""
        return Response(ProviderCredentialsSerializer({"data": services.credentials_of(self.place)}).data)

    @extend_schema(
        operation_id="create_credential",
        tags=["models"],
        request=CredentialWishSerializer,
        responses={201: ProviderCredentialSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Creates a credential, stored encrypted once the provider accepts it; models can share it."""
        wish = checked(CredentialWishSerializer, request)
        is_tested = wish.pop("test")
        row = self.save(
            lambda: services.create_credential(principal=self.place, **wish),
            ref=endpoint_ref,
            is_tested=is_tested,
        )
        return Response(ProviderCredentialSerializer(row).data, status=201)


class CredentialView(ProbingView):
    policy: ClassVar = {"PATCH": Action.MODELS_CHANGE, "DELETE": Action.MODELS_CHANGE}

    @extend_schema(
        operation_id="change_credential",
        tags=["models"],
        request=CredentialChangeSerializer,
        responses=ProviderCredentialSerializer,
    )
    def patch(self, request: Request, workspace: str, credential_id: UUID) -> Response:
        """Replaces the key from the next call on, for all its models; a new address needs its key again."""
        wish = checked(CredentialChangeSerializer, request)
        is_tested = wish.pop("test") and not wish.keys().isdisjoint({"key", "base_url"})
        row = self.save(
            lambda: services.change_credential(principal=self.place, credential_id=credential_id, **wish),
            ref=probe_ref,
            is_tested=is_tested,
        )
        told = services.credentials_of(self.place).filter(id=row.id).first() or row  # with how many use it
        return Response(ProviderCredentialSerializer(told).data)

    @extend_schema(operation_id="remove_credential", tags=["models"], responses={204: None})
    def delete(self, request: Request, workspace: str, credential_id: UUID) -> Response:
        """Deletes a credential that no model uses."""
        services.remove_credential(principal=self.place, credential_id=credential_id)
        return Response(status=204)
