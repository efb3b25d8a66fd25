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
from accounts.serializers import OldestFirst, page_of
from accounts.sign_in.api.auth import AddressThrottle, OpenView, TokensSerializer
from accounts.sign_in.tokens import issue_tokens
from accounts.teams.api.tenant import PAGING
from accounts.teams.api.workspaces import WorkspaceSerializer
from accounts.teams.workspaces import find_workspace, listed_workspaces
from kit.inputs import read_body, serializer_of
from quotas.limits import limits_of
from quotas.planned_calls import Payer
from workspaces import onboarding
from workspaces.inputs import SignUp, TeamInput, WorkspaceInput


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
        request=serializer_of(SignUp),
        responses={201: TokensSerializer, 202: SentSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates an account with a tenant, its first workspace and the local model enabled.

        Answers 202 without tokens, whether the address was free or has an account already: then its owner is
        told by email. Where `EMAIL_VERIFICATION` is optional you can sign in immediately by `/v1/auth/token`.
        An installation that sends no confirmations (`none`), or one in development, answers 201 with tokens.
        """
        new = read_body(SignUp, request.data)
        if _answers_directly():
            return Response(issue_tokens(onboarding.sign_up(new=new)), status=201)
        onboarding.sign_up_quietly(new=new)
        return Response({"verification": "sent"}, status=202)


def _answers_directly() -> bool:
    """Tokens in the response reveal that the address was free: only if no mail is sent, or in development."""
    mode = settings.EMAIL_VERIFICATION
    return mode == "none" or (settings.DEVELOPMENT and mode == "optional")


class NewTeamView(APIView):
    """For an app whose user has no team and so none of our tokens: by allauth's session token."""

    authentication_classes = [XSessionTokenAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [SignUpThrottle]

    @extend_schema(
        operation_id="begin_team",
        tags=["auth"],
        request=serializer_of(TeamInput),
        responses={201: TokensSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates a team of your own with a first workspace, for an app signed in at `/_allauth/app/v1/`."""
        owner = cast("User", request.user)
        team = read_body(TeamInput, request.data)
        opened = onboarding.open_tenant(owner=owner, tenant_name=team.name, workspace_name="")
        principal = find_principal(
            user_id=owner.id, tenant_slug=opened.tenant.slug, workspace_slug=opened.workspace.slug
        )
        return Response(issue_tokens(cast("Principal", principal)), status=201)


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
        request=serializer_of(WorkspaceInput),
        responses={201: WorkspaceSerializer},
    )
    def post(self, request: Request) -> Response:
        """Creates a workspace that you manage, with a budget and the local model.

        `slug` is its id, which never changes. If it is left out, it is made from the name.
        """
        workspace = read_body(WorkspaceInput, request.data)
        made = onboarding.open_workspace(
            principal=self.principal, name=workspace.name, slug=workspace.slug or ""
        )
        return Response(WorkspaceSerializer(find_workspace(made)).data, status=201)


class QuotaView(WorkspaceView):
    policy: ClassVar = {"GET": Action.USAGE_VIEW}

    @extend_schema(operation_id="workspace_quota", tags=["workspaces"], responses=QuotaSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the budgets and limits that apply to you here, what is left and when they reset."""
        return Response({"data": [limit.as_dict() for limit in limits_of(Payer.of(self.principal))]})
