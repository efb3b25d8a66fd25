"""REST routes that need more than accounts: sign-up, new teams and workspaces, a workspace's quota."""

from typing import Any, ClassVar, cast

from allauth.headless.contrib.rest_framework.authentication import XSessionTokenAuthentication
from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PolicyView, WorkspaceView
from accounts.models import User
from accounts.policy import Action
from accounts.principals import Principal, find_principal
from accounts.serializers import NameField, OldestFirst, page_of
from accounts.sign_in.api.auth import AddressThrottle, OpenView, TokensSerializer, checked
from accounts.sign_in.tokens import issue_tokens
from accounts.teams.api.tenant import PAGING
from accounts.teams.api.workspaces import WorkspaceSerializer
from accounts.teams.workspaces import find_workspace, listed_workspaces
from quotas.limits import limits_of
from quotas.planned_calls import Payer
from workspaces import onboarding


class SignUpSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, write_only=True)
    name = serializers.CharField(max_length=100)
    tenant_name = serializers.CharField(max_length=100)
    workspace_name = serializers.CharField(max_length=100, required=False, default=onboarding.FIRST_WORKSPACE)


class FiguresSerializer(serializers.Serializer[Any]):
    level = serializers.CharField()
    metric = serializers.CharField()
    window = serializers.CharField()
    limit = serializers.IntegerField()
    soft_limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    reserved = serializers.IntegerField()
    remaining = serializers.IntegerField()
    resets_at = serializers.DateTimeField(allow_null=True)


class QuotaSerializer(serializers.Serializer[Any]):
    data = FiguresSerializer(many=True)  # type: ignore[assignment]  # a field called data


class SentSerializer(serializers.Serializer[Any]):
    verification = serializers.CharField(help_text="`sent`: open the link in the email, then sign in")


class SignUpThrottle(AddressThrottle):
    scope = "signup"


class SignUpView(OpenView):
    throttle_classes = [SignUpThrottle]

    @extend_schema(
        operation_id="signup",
        tags=["auth"],
        request=SignUpSerializer,
        responses={201: TokensSerializer, 202: SentSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates an account with a tenant, its first workspace and the local model enabled.

        Answers 202 without tokens, whether the address was free or has an account already: then its owner is
        told by email. Where `EMAIL_VERIFICATION` is optional you can sign in immediately by `/v1/auth/token`.
        An installation that sends no confirmations (`none`), or one in development, answers 201 with tokens.
        """
        fields = checked(SignUpSerializer, request)
        if _answers_directly():
            return Response(issue_tokens(onboarding.sign_up(**fields)), status=201)
        onboarding.sign_up_quietly(**fields)
        return Response({"verification": "sent"}, status=202)


def _answers_directly() -> bool:
    """Tokens in the response reveal that the address was free: only if no mail is sent, or in development."""
    mode = settings.EMAIL_VERIFICATION
    return mode == "none" or (settings.DEVELOPMENT and mode == "optional")


class TeamInputSerializer(serializers.Serializer[Any]):
    name = NameField()


class NewTeamView(APIView):
    """For an app whose user has no team and so none of our tokens: by allauth's session token."""

    authentication_classes = [XSessionTokenAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [SignUpThrottle]

    @extend_schema(
        operation_id="begin_team",
        tags=["auth"],
        request=TeamInputSerializer,
        responses={201: TokensSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates a team of your own with a first workspace, for an app signed in at `/_allauth/app/v1/`."""
        owner = cast("User", request.user)
        fields = checked(TeamInputSerializer, request)
        opened = onboarding.open_tenant(owner=owner, tenant_name=fields["name"], workspace_name="")
        principal = find_principal(
            user_id=owner.id, tenant_slug=opened.tenant.slug, workspace_slug=opened.workspace.slug
        )
        return Response(issue_tokens(cast("Principal", principal)), status=201)


class WorkspaceInputSerializer(serializers.Serializer[Any]):
    name = NameField()


class WorkspacesView(PolicyView):
    policy: ClassVar = {"GET": Action.WORKSPACE_VIEW, "POST": Action.WORKSPACE_CREATE}

    @extend_schema(
        operation_id="workspaces",
        tags=["workspaces"],
        parameters=PAGING,
        responses=page_of(WorkspaceSerializer),
    )
    def get(self, request: Request) -> Response:
        """Lists your workspaces in the team; admins see all of them, including archived ones."""
        pages = OldestFirst()
        rows = pages.paginate_queryset(listed_workspaces(self.principal), request, self)
        return pages.get_paginated_response(WorkspaceSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="create_workspace",
        tags=["workspaces"],
        request=WorkspaceInputSerializer,
        responses={201: WorkspaceSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates a workspace that you manage, with a budget and the local model."""
        fields = checked(WorkspaceInputSerializer, request)
        made = onboarding.open_workspace(principal=self.principal, **fields)
        return Response(WorkspaceSerializer(find_workspace(made)).data, status=201)


class QuotaView(WorkspaceView):
    policy: ClassVar = {"GET": Action.USAGE_VIEW}

    @extend_schema(operation_id="workspace_quota", tags=["workspaces"], responses=QuotaSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the budgets and limits that apply to you here, what is left and when they reset."""
        return Response({"data": [limit.as_dict() for limit in limits_of(Payer.of(self.principal))]})
