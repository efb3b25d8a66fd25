"""REST routes of signing in: tokens, refresh, switch, logout."""

from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from accounts.principals import Principal
from accounts.sign_in import services as sign_in
from accounts.sign_in import tokens
from kit.body_validation import validated
from kit.errors import InvalidInput
from kit.older_names import OlderName, by_either_name
from kit.request_origin import current_network


class TokensSerializer(serializers.Serializer[Any]):
    """The response of every route that signs someone in."""

    access = serializers.CharField(read_only=True)
    refresh = serializers.CharField(read_only=True)
    userId = serializers.UUIDField(read_only=True)
    tenant = serializers.CharField(read_only=True, help_text="The tenant's slug")
    workspace = serializers.CharField(read_only=True, help_text="The workspace's slug")
    tenantId = OlderName("tenant", read_only=True)
    workspaceId = OlderName("workspace", read_only=True)


class CredentialsSerializer(serializers.Serializer[Any]):
    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, write_only=True)
    code = serializers.CharField(
        max_length=20,
        required=False,
        default="",
        allow_blank=True,
        write_only=True,
        help_text="An authenticator or recovery code, if the account uses two-factor authentication",
    )
    tenant = serializers.CharField(
        max_length=40, required=False, allow_null=True, help_text="A slug; default: your first"
    )
    workspace = serializers.CharField(
        max_length=40, required=False, allow_null=True, help_text="A slug; default: your first"
    )
    tenantId = OlderName("tenant", max_length=40, required=False, allow_null=True)
    workspaceId = OlderName("workspace", max_length=40, required=False, allow_null=True)


class SwitchSerializer(serializers.Serializer[Any]):
    workspace = serializers.CharField(max_length=40, required=False, help_text="A slug; required")
    tenant = serializers.CharField(
        max_length=40, required=False, allow_null=True, help_text="A slug; default: the current tenant"
    )
    workspaceId = OlderName("workspace", max_length=40, required=False)
    tenantId = OlderName("tenant", max_length=40, required=False, allow_null=True)


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=4000, write_only=True)


class AddressThrottle(SimpleRateThrottle):
    """Limits tries per minute from one network."""

    def get_rate(self) -> str:
        return f"{settings.THROTTLE_PER_MINUTE[str(self.scope)]}/minute"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return f"throttle:{self.scope}:{current_network()}"


class TokenThrottle(AddressThrottle):
    scope = "token"


def checked(
    serializer_class: type[serializers.Serializer[Any]], request: Request, *, partial: bool = False
) -> dict[str, Any]:
    """The validated fields of the body; InvalidInput names each wrong one. `partial`: all are optional."""
    data: dict[str, Any] = validated(serializer_class, request.data, partial=partial)
    return data


class OpenView(APIView):
    """A route that needs no token."""

    authentication_classes = []
    permission_classes = []


class TokenView(OpenView):
    throttle_classes = [TokenThrottle]

    @extend_schema(
        operation_id="token", tags=["auth"], request=CredentialsSerializer, responses=TokensSerializer
    )
    def post(self, request: Request) -> Response:
        """Signs in with email, password and, where the account needs one, a two-factor code."""
        data = checked(CredentialsSerializer, request)
        return Response(
            sign_in.sign_in(
                email=data["email"],
                password=data["password"],
                code=data["code"],
                tenant_slug=by_either_name(data, "tenant", "tenantId"),
                workspace_slug=by_either_name(data, "workspace", "workspaceId"),
            )
        )


class RefreshView(OpenView):
    throttle_classes = [TokenThrottle]

    @extend_schema(
        operation_id="token_refresh", tags=["auth"], request=RefreshSerializer, responses=TokensSerializer
    )
    def post(self, request: Request) -> Response:
        """Exchanges a refresh token for new tokens; the old one no longer works."""
        return Response(tokens.rotate_tokens(checked(RefreshSerializer, request)["refresh"]))


class SwitchView(APIView):
    @extend_schema(operation_id="switch", tags=["auth"], request=SwitchSerializer, responses=TokensSerializer)
    def post(self, request: Request) -> Response:
        """Issues tokens for another workspace of yours, in the current tenant or another one."""
        data = checked(SwitchSerializer, request)
        principal = cast("Principal", request.auth)  # set by BearerAuthentication
        workspace = by_either_name(data, "workspace", "workspaceId")
        if workspace is None:
            raise InvalidInput(workspace=["This field is required."])
        return Response(
            sign_in.switch_workspace(
                principal=principal,
                tenant_slug=by_either_name(data, "tenant", "tenantId") or principal.tenant.slug,
                workspace_slug=workspace,
            )
        )


class LogoutView(APIView):
    @extend_schema(operation_id="logout", tags=["auth"], request=RefreshSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Ends the sign-in that the refresh token belongs to, with every token that came from it."""
        sign_in.sign_out(
            principal=cast("Principal", request.auth),  # set by BearerAuthentication
            refresh=checked(RefreshSerializer, request)["refresh"],
        )
        return Response(status=204)
