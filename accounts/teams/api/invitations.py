"""REST routes of invitations and invite links: for admins, and for the people who use them."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.audit import services as audit
from accounts.policy import Action
from accounts.serializers import PersonSerializer, page_of
from accounts.sign_in.api.auth import OpenView, TokensSerializer, TokenThrottle, checked
from accounts.sign_in.tokens import issue_tokens
from accounts.teams import invitation_acceptance, invitations, workspace_links
from accounts.teams.api.tenant import PAGING
from accounts.teams.inputs import Accept, InvitationInput, LinkInput
from kit.api import Pages
from kit.errors import DomainError
from kit.inputs import read_body, serializer_of


class InvitationWorkspaceSerializer(serializers.Serializer[Any]):
    workspace = serializers.CharField(source="workspace.slug")
    role = serializers.CharField()


class InvitationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = serializers.CharField(help_text="In the team")
    workspaces = InvitationWorkspaceSerializer(many=True, source="workspaces.all")
    invited_by = PersonSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField()
    times_sent = serializers.IntegerField()
    expires_at = serializers.DateTimeField()


class OutcomeSerializer(serializers.Serializer[Any]):
    email = serializers.CharField()
    invitation = InvitationSerializer(allow_null=True)
    error = serializers.SerializerMethodField(help_text="Why this address was not invited")

    @extend_schema_field({"allOf": [{"$ref": "#/components/schemas/ErrorDetail"}], "nullable": True})
    def get_error(self, outcome: invitations.Outcome) -> dict[str, Any] | None:
        return outcome.problem.as_dict() if isinstance(outcome.problem, DomainError) else None


class OutcomesSerializer(serializers.Serializer[Any]):
    data = OutcomeSerializer(many=True)  # type: ignore[assignment]  # a field called data


class LinkSerializer(serializers.Serializer[Any]):
    role = serializers.CharField()
    most_uses = serializers.IntegerField()
    uses = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class NewLinkSerializer(LinkSerializer):
    url = serializers.CharField(help_text="Only in this response")


class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=200, help_text="The last part of the link's URL")


class WelcomeSerializer(serializers.Serializer[Any]):
    tenant_name = serializers.CharField()
    inviter = serializers.CharField()
    email = serializers.CharField(help_text="Empty for an invite link, which anyone can use")
    workspaces = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField()
    has_account = serializers.BooleanField()


class JoinSerializer(TokenSerializer):
    email = serializers.CharField(max_length=320)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, write_only=True)
    code = serializers.CharField(max_length=20, required=False, default="", allow_blank=True, write_only=True)


class InvitationsView(PolicyView):
    policy: ClassVar = {"GET": Action.INVITATIONS_VIEW, "POST": Action.INVITATIONS_CHANGE}

    @extend_schema(
        operation_id="invitations", tags=["team"], parameters=PAGING, responses=page_of(InvitationSerializer)
    )
    def get(self, request: Request) -> Response:
        """Lists the pending invitations, including expired ones, the newest first."""
        pages = Pages()
        rows = pages.paginate_queryset(invitations.open_invitations(self.principal), request, self)
        return pages.get_paginated_response(InvitationSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="invite",
        tags=["team"],
        request=serializer_of(InvitationInput),
        responses={201: OutcomesSerializer},
    )
    def post(self, request: Request) -> Response:
        """Emails an invitation to each address; an address that cannot be invited gets a reason."""
        sent = read_body(InvitationInput, request.data)
        outcomes = invitations.invite_list(
            principal=self.principal,
            emails=sent.emails,
            role=sent.role,
            workspace_roles=sent.workspace_roles(),
        )
        return Response({"data": OutcomeSerializer(outcomes, many=True).data}, status=201)


class InvitationView(PolicyView):
    policy: ClassVar = {"DELETE": Action.INVITATIONS_CHANGE}

    @extend_schema(operation_id="revoke_invitation", tags=["team"], responses={204: None})
    def delete(self, request: Request, invitation_id: UUID) -> Response:
        """Withdraws an invitation; its link no longer works."""
        invitations.revoke(principal=self.principal, invitation_id=invitation_id)
        return Response(status=204)


class InvitationResendView(PolicyView):
    policy: ClassVar = {"POST": Action.INVITATIONS_CHANGE}

    @extend_schema(
        operation_id="resend_invitation", tags=["team"], request=None, responses=InvitationSerializer
    )
    def post(self, request: Request, invitation_id: UUID) -> Response:
        """Emails a new link, valid for seven days; the previous link no longer works."""
        sent = invitations.resend(principal=self.principal, invitation_id=invitation_id)
        return Response(InvitationSerializer(sent).data)


class LinkView(WorkspaceView):
    policy: ClassVar = {
        "GET": Action.WORKSPACE_LINK,
        "PUT": Action.WORKSPACE_LINK,
        "DELETE": Action.WORKSPACE_LINK,
    }

    @extend_schema(operation_id="workspace_link", tags=["workspaces"], responses=LinkSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Returns the active invite link, without its URL; 404 if there is none."""
        return Response(LinkSerializer(workspace_links.current_link(self.principal)).data)

    @extend_schema(
        operation_id="open_workspace_link",
        tags=["workspaces"],
        request=serializer_of(LinkInput),
        responses={201: NewLinkSerializer},
    )
    def put(self, request: Request, workspace: str) -> Response:
        """Creates a link that replaces the previous one. Only this response contains its URL."""
        link = read_body(LinkInput, request.data)
        new = workspace_links.open_link(principal=self.principal, link=link)
        return Response({**LinkSerializer(new.row).data, "url": new.url}, status=201)

    @extend_schema(operation_id="close_workspace_link", tags=["workspaces"], responses={204: None})
    def delete(self, request: Request, workspace: str) -> Response:
        """Turns off the link; people who joined with it stay."""
        workspace_links.close_link(principal=self.principal)
        return Response(status=204)


class TokenRouteView(OpenView):
    throttle_classes = [TokenThrottle]


class InvitationLookView(TokenRouteView):
    @extend_schema(
        operation_id="look_at_invitation", tags=["auth"], request=TokenSerializer, responses=WelcomeSerializer
    )
    def post(self, request: Request) -> Response:
        """Returns what an invitation is for, and for whom."""
        found = invitation_acceptance.welcome_of_invitation(checked(TokenSerializer, request)["token"])
        return Response(WelcomeSerializer(found).data)


class InvitationAcceptView(TokenRouteView):
    @extend_schema(
        operation_id="accept_invitation",
        tags=["auth"],
        request=serializer_of(Accept),
        responses=TokensSerializer,
    )
    def post(self, request: Request) -> Response:
        """Accepts an invitation with the account's password, or creates the account with it."""
        sent = read_body(Accept, request.data)
        principal = invitation_acceptance.accept_with_password(
            token=sent.token, password=sent.password, code=sent.code, name=sent.name
        )
        audit.record("user.signed_in", principal=principal, via="api")
        return Response(issue_tokens(principal))


class LinkLookView(TokenRouteView):
    @extend_schema(
        operation_id="look_at_workspace_link",
        tags=["auth"],
        request=TokenSerializer,
        responses=WelcomeSerializer,
    )
    def post(self, request: Request) -> Response:
        """Returns the workspace that a link is for."""
        found = invitation_acceptance.welcome_of_link(checked(TokenSerializer, request)["token"])
        return Response(WelcomeSerializer(found).data)


class LinkJoinView(TokenRouteView):
    @extend_schema(
        operation_id="join_workspace", tags=["auth"], request=JoinSerializer, responses=TokensSerializer
    )
    def post(self, request: Request) -> Response:
        """Joins a workspace by its link, with an account whose address is confirmed."""
        principal = invitation_acceptance.join_with_password(**checked(JoinSerializer, request))
        audit.record("user.signed_in", principal=principal, via="api")
        return Response(issue_tokens(principal))
