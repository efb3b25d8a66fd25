"""REST routes of the audit: the tenant's, and a workspace's."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.audit.queries import AuditFilter, entries_in, entries_of
from accounts.models import AuditEntry
from accounts.policy import Action
from accounts.serializers import page_of
from accounts.teams.api.tenant import PAGING
from kit.api import Pages

FILTERS = [
    OpenApiParameter("action", str, description="As in member.removed; `member.*` for all that begin so"),
    OpenApiParameter("actor", str, description="The e-mail address of who did it"),
    OpenApiParameter("since", str, description="A moment in ISO 8601"),
    OpenApiParameter("until", str, description="A moment in ISO 8601"),
]


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    actor = serializers.CharField(source="actor_email")
    workspace = serializers.CharField(source="workspace.slug", default=None, allow_null=True)

    class Meta:
        model = AuditEntry
        fields = (
            "id",
            "at",
            "action",
            "actor",
            "via",
            "api_key",
            "workspace",
            "target",
            "changes",
            "details",
            "address",
            "request_id",
            "count",
        )


class AuditPages(Pages):
    ordering = ("-at", "-id")


class AuditMixin:
    """Filters and pages the entries that a view selects."""

    def page(self, request: Request, rows: Any) -> Response:
        filters = AuditFilter.parse(request.query_params)
        pages = AuditPages()
        shown = pages.paginate_queryset(filters.apply(rows), request, self)
        return pages.get_paginated_response(AuditEntrySerializer(shown, many=True).data)


class TenantAuditView(AuditMixin, PolicyView):
    policy: ClassVar = {"GET": Action.AUDIT_VIEW}

    @extend_schema(
        operation_id="audit",
        tags=["team"],
        parameters=[*PAGING, *FILTERS],
        responses=page_of(AuditEntrySerializer),
    )
    def get(self, request: Request) -> Response:
        """Lists the team's audit entries, the latest first."""
        return self.page(request, entries_of(self.principal))


class WorkspaceAuditView(AuditMixin, WorkspaceView):
    policy: ClassVar = {"GET": Action.AUDIT_WORKSPACE}

    @extend_schema(
        operation_id="workspace_audit",
        tags=["workspaces"],
        parameters=[*PAGING, *FILTERS],
        responses=page_of(AuditEntrySerializer),
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the workspace's audit entries, the latest first."""
        return self.page(request, entries_in(self.principal))
