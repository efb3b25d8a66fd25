"""REST routes of one workspace and its members; workspaces/api.py lists and creates workspaces."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.inputs import WORKSPACE_ROLES
from accounts.policy import Action
from accounts.serializers import OldestFirst, PersonSerializer, page_of
from accounts.sign_in.api.auth import checked
from accounts.teams import workspaces
from accounts.teams.api.tenant import PAGING
from accounts.teams.inputs import WorkspaceChange
from kit.inputs import read_body, serializer_of


class WorkspaceSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="slug")
    name = serializers.CharField()
    member_count = serializers.IntegerField()
    archived_at = serializers.DateTimeField(allow_null=True)
    delete_after = serializers.DateTimeField(
        allow_null=True, help_text="When its content is deleted, unless it is restored"
    )
    created_at = serializers.DateTimeField()


class WorkspaceMemberSerializer(serializers.Serializer[Any]):
    user = PersonSerializer()
    role = serializers.CharField()
    created_at = serializers.DateTimeField()


class WorkspaceMemberRoleSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(WORKSPACE_ROLES)


class WorkspaceDetailView(WorkspaceView):
    policy: ClassVar = {
        "GET": Action.WORKSPACE_VIEW,
        "PATCH": Action.WORKSPACE_CHANGE,
        "DELETE": Action.WORKSPACE_DELETE,
    }

    @extend_schema(operation_id="workspace", tags=["workspaces"], responses=WorkspaceSerializer)
    def get(self, request: Request, workspace: str) -> Response:
        """Returns a workspace."""
        return self._response()

    @extend_schema(
        operation_id="change_workspace",
        tags=["workspaces"],
        request=serializer_of(WorkspaceChange),
        responses=WorkspaceSerializer,
    )
    def patch(self, request: Request, workspace: str) -> Response:
        """Renames, archives or restores a workspace, or makes it the default."""
        change = read_body(WorkspaceChange, request.data)
        workspaces.change_workspace(principal=self.principal, change=change)
        return self._response()

    @extend_schema(operation_id="delete_workspace", tags=["workspaces"], responses={202: WorkspaceSerializer})
    def delete(self, request: Request, workspace: str) -> Response:
        """Archives a workspace immediately and deletes its content after the grace period."""
        workspaces.delete(principal=self.principal)
        return self._response(202)

    def _response(self, status: int = 200) -> Response:
        row = workspaces.find_workspace(self.principal)
        return Response(WorkspaceSerializer(row).data, status=status)


class WorkspaceMembersView(WorkspaceView):
    policy: ClassVar = {"GET": Action.WORKSPACE_VIEW}

    @extend_schema(
        operation_id="workspace_members",
        tags=["workspaces"],
        parameters=PAGING,
        responses=page_of(WorkspaceMemberSerializer),
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the workspace's members and their roles."""
        pages = OldestFirst()
        rows = pages.paginate_queryset(workspaces.members_of_workspace(self.principal), request, self)
        return pages.get_paginated_response(WorkspaceMemberSerializer(rows, many=True).data)


class WorkspaceMemberView(WorkspaceView):
    policy: ClassVar = {"PUT": Action.WORKSPACE_MEMBERS, "DELETE": Action.WORKSPACE_MEMBERS}
    own_policy: ClassVar = {"DELETE": Action.WORKSPACE_LEAVE}

    @extend_schema(
        operation_id="put_workspace_member",
        tags=["workspaces"],
        request=WorkspaceMemberRoleSerializer,
        responses=WorkspaceMemberSerializer,
    )
    def put(self, request: Request, workspace: str, user_id: UUID) -> Response:
        """Adds a member of the team, or changes their role here."""
        role = checked(WorkspaceMemberRoleSerializer, request)["role"]
        member = workspaces.add_member(principal=self.principal, user_id=user_id, role=role)
        return Response(WorkspaceMemberSerializer(member).data)

    @extend_schema(operation_id="remove_workspace_member", tags=["workspaces"], responses={204: None})
    def delete(self, request: Request, workspace: str, user_id: UUID) -> Response:
        """Removes a member from the workspace. With your own id you leave; no key can."""
        workspaces.remove_from_workspace(principal=self.principal, user_id=user_id)
        return Response(status=204)
