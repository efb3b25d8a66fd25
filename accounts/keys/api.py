"""REST routes of API keys and service accounts."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.keys import services as api_keys
from accounts.keys.inputs import KeyInput, ServiceAccountInput
from accounts.policy import Action
from accounts.serializers import PersonSerializer, page_of
from accounts.teams.api.tenant import PAGING
from kit.api import Pages
from kit.inputs import read_body, serializer_of


class ApiKeySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The start of the key, after `sy_`")
    scopes = serializers.ListField(child=serializers.CharField())
    workspace = serializers.CharField(
        source="workspace.slug", default=None, allow_null=True, help_text="null: all workspaces of its owner"
    )
    owner = PersonSerializer()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewKeySerializer(ApiKeySerializer):
    key = serializers.CharField(help_text="The key; only in this response")


class KeysView(PolicyView):
    """Lists and creates keys."""

    def listed(self, rows: Any) -> Response:
        pages = Pages()
        shown = pages.paginate_queryset(rows, self.request, self)
        return pages.get_paginated_response(ApiKeySerializer(shown, many=True).data)

    def created(self, *, for_tenant: bool) -> Response:
        key = read_body(KeyInput, self.request.data)
        new = api_keys.create_key(principal=self.principal, key=key, for_tenant=for_tenant)
        return Response({**ApiKeySerializer(new.row).data, "key": new.text}, status=201)


class WorkspaceKeysView(WorkspaceView, KeysView):
    policy: ClassVar = {"GET": Action.KEYS_OWN, "POST": Action.KEYS_OWN}

    @extend_schema(
        operation_id="workspace_api_keys",
        tags=["keys"],
        parameters=PAGING,
        responses=page_of(ApiKeySerializer),
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Lists your keys in this workspace; admins see everyone's."""
        return self.listed(api_keys.listed_keys(self.principal).filter(workspace=self.principal.workspace.id))

    @extend_schema(
        operation_id="create_workspace_api_key",
        tags=["keys"],
        request=serializer_of(KeyInput),
        responses={201: NewKeySerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Creates a key for this workspace. Only this response contains its text."""
        return self.created(for_tenant=False)


class TenantKeysView(KeysView):
    policy: ClassVar = {"GET": Action.TENANT_KEYS, "POST": Action.TENANT_KEYS}

    @extend_schema(
        operation_id="api_keys", tags=["keys"], parameters=PAGING, responses=page_of(ApiKeySerializer)
    )
    def get(self, request: Request) -> Response:
        """Lists every active key of the team."""
        return self.listed(api_keys.listed_keys(self.principal))

    @extend_schema(
        operation_id="create_api_key",
        tags=["keys"],
        request=serializer_of(KeyInput),
        responses={201: NewKeySerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates a key for every workspace of its owner; the header `X-Workspace` chooses one."""
        return self.created(for_tenant=True)


class KeyView(PolicyView):
    policy: ClassVar = {"DELETE": Action.KEYS_REVOKE}

    @extend_schema(operation_id="revoke_api_key", tags=["keys"], responses={204: None})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Revokes a key immediately: your own, or anyone's if you are an admin."""
        api_keys.revoke_key(principal=self.principal, key_id=key_id)
        return Response(status=204)


class ServiceAccountsView(PolicyView):
    policy: ClassVar = {"GET": Action.SERVICE_ACCOUNTS_VIEW, "POST": Action.SERVICE_ACCOUNTS_CHANGE}

    @extend_schema(
        operation_id="service_accounts", tags=["keys"], parameters=PAGING, responses=page_of(PersonSerializer)
    )
    def get(self, request: Request) -> Response:
        """Lists the service accounts, which belong to programs."""
        pages = Pages()
        rows = pages.paginate_queryset(api_keys.service_accounts_of(self.principal), request, self)
        return pages.get_paginated_response(PersonSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="create_service_account",
        tags=["keys"],
        request=serializer_of(ServiceAccountInput),
        responses={201: PersonSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates a service account in the token's workspace. Add it to others like a member."""
        account = read_body(ServiceAccountInput, request.data)
        made = api_keys.create_service_account(principal=self.principal, account=account)
        return Response(PersonSerializer(made).data, status=201)


class ServiceAccountView(PolicyView):
    policy: ClassVar = {"DELETE": Action.SERVICE_ACCOUNTS_CHANGE}

    @extend_schema(operation_id="remove_service_account", tags=["keys"], responses={204: None})
    def delete(self, request: Request, user_id: UUID) -> Response:
        """Deletes a service account and revokes its keys."""
        api_keys.remove_service_account(principal=self.principal, user_id=user_id)
        return Response(status=204)
