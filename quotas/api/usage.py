"""What was used, broken down and exported: one's own, a workspace's, the team's."""

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.models import ApiKey, Membership, Workspace
from accounts.policy import Action, may
from accounts.principals import Principal
from accounts.sign_in.api.auth import checked
from kit.errors import NotFound
from quotas.budgets import change_time_zone
from quotas.exports import exported
from quotas.models import TenantPlan, UsageRecord
from quotas.usage import COLUMNS, Breakdown, Slice, break_down, slice_of

GROUPS = [(name, name) for name in COLUMNS if name != "tenant"]


class UsageQuerySerializer(serializers.Serializer[Any]):
    """The query parameters of a request for usage."""

    by = serializers.ChoiceField(GROUPS, required=False, default="day")
    since = serializers.DateField(required=False, default=None)
    until = serializers.DateField(required=False, default=None)
    mine = serializers.BooleanField(required=False, default=False)
    workspace = serializers.SlugField(required=False, max_length=40, default="")
    member = serializers.UUIDField(required=False, default=None)
    api_key = serializers.UUIDField(required=False, default=None)
    model = serializers.CharField(required=False, max_length=100, default="")
    purpose = serializers.ChoiceField(UsageRecord.Purpose.choices, required=False, default="")


class UsedSerializer(serializers.Serializer[Any]):
    calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Part of the input tokens")
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField(help_text="Part of the output tokens")
    total_tokens = serializers.IntegerField()
    cost = serializers.IntegerField(help_text="Millionths of the currency")
    unpriced_calls = serializers.IntegerField(help_text="Calls without a price; they count as 0")
    flagged_calls = serializers.IntegerField(
        help_text="Flagged calls: more than was reserved, an implausible count, "
        "or a reply that was cut off. The export names the flag"
    )


class GroupSerializer(UsedSerializer):
    key = serializers.CharField(allow_null=True, help_text="A day, an id, or the name of a model or purpose")
    label = serializers.CharField()  # type: ignore[assignment]  # a field called label


class BreakdownSerializer(serializers.Serializer[Any]):
    by = serializers.CharField()
    since = serializers.DateField()
    until = serializers.DateField()
    time_zone = serializers.CharField()
    currency = serializers.CharField()
    data = GroupSerializer(many=True)  # type: ignore[assignment]  # a field called data
    others = UsedSerializer(allow_null=True, help_text="The sum of all groups after the first 200")
    total = UsedSerializer()


class SettingsSerializer(serializers.Serializer[Any]):
    time_zone = serializers.CharField(max_length=64, help_text="IANA name; days and months follow it")
    currency = serializers.CharField(read_only=True)
    plan = serializers.CharField(read_only=True, allow_null=True)


PARAMETERS = [
    OpenApiParameter(
        "since", OpenApiTypes.DATE, description="First day; default: the first day of the month"
    ),
    OpenApiParameter("until", OpenApiTypes.DATE, description="Last day; default: today"),
    OpenApiParameter("mine", bool, description="Only your own usage"),
    OpenApiParameter("member", OpenApiTypes.UUID),
    OpenApiParameter("api_key", OpenApiTypes.UUID),
    OpenApiParameter("model", str),
    OpenApiParameter("purpose", str, enum=UsageRecord.Purpose.values),
]
BY = OpenApiParameter("by", str, enum=[name for name, _ in GROUPS], description="Breakdown; default: `day`")
IN_WORKSPACE = OpenApiParameter("workspace", str, description="Only this workspace")


class UsageOf:
    """Decides whose usage a request may see."""

    everybody: ClassVar[Action]

    def slice_for(self, principal: Principal, query: dict[str, Any], *, workspace_id: UUID | None) -> Slice:
        """The principal's own usage unless they may see everyone's; NotFound if they name another member."""
        own = query["mine"] or not may(principal, self.everybody)
        if own and query["member"] not in {None, principal.user_id}:
            raise NotFound
        if (
            query["member"]
            and not Membership.objects.filter(tenant=principal.tenant.id, user=query["member"]).exists()
        ):
            raise NotFound
        key = query["api_key"]
        if key and not ApiKey.objects.filter(tenant=principal.tenant.id, id=key).exists():
            raise NotFound
        return slice_of(
            principal.tenant,
            query["since"],
            query["until"],
            user_id=principal.user_id if own else query["member"],
            api_key_id=key,
            model=query["model"],
            purpose=query["purpose"],
            workspace_id=workspace_id,
        )


def query_of(request: Request) -> dict[str, Any]:
    query = UsageQuerySerializer(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def answer(principal: Principal, wanted: Slice, by: str) -> Response:
    return Response(serialize_breakdown(principal, break_down(wanted, by), wanted, by))


def serialize_breakdown(principal: Principal, found: Breakdown, wanted: Slice, by: str) -> dict[str, Any]:
    return {
        "by": by,
        "since": wanted.first.isoformat(),
        "until": wanted.last.isoformat(),
        "time_zone": principal.tenant.time_zone,
        "currency": settings.CURRENCY,
        "data": [
            {
                "key": None if group.key is None else str(group.key),
                "label": group.label,
                **group.used.as_dict(),
            }
            for group in found.groups
        ],
        "others": found.others.as_dict() if found.others else None,
        "total": found.total.as_dict(),
    }


class TeamUsageView(UsageOf, PolicyView):
    policy: ClassVar = {"GET": Action.TENANT_VIEW}
    everybody = Action.USAGE_TEAM

    def wanted(self, request: Request, query: dict[str, Any]) -> Slice:
        return self.slice_for(self.principal, query, workspace_id=self._workspace_id(query["workspace"]))

    def _workspace_id(self, slug: str) -> UUID | None:
        if not slug:
            return None
        rows = Workspace.objects.filter(tenant=self.principal.tenant.id, slug=slug)
        workspace_id = rows.values_list("id", flat=True).first()
        if workspace_id is None:
            raise NotFound
        return workspace_id

    @extend_schema(
        operation_id="usage",
        tags=["usage"],
        parameters=[BY, IN_WORKSPACE, *PARAMETERS],
        responses=BreakdownSerializer,
    )
    def get(self, request: Request) -> Response:
        """Returns the team's usage, or only your own if you may not see everyone's."""
        query = query_of(request)
        return answer(self.principal, self.wanted(request, query), query["by"])


class TeamExportView(TeamUsageView):
    @extend_schema(
        operation_id="export_usage",
        tags=["usage"],
        parameters=[IN_WORKSPACE, *PARAMETERS],
        responses={(200, "text/csv"): OpenApiTypes.BINARY, (200, "application/json"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, form: str) -> StreamingHttpResponse:  # type: ignore[override]
        """Exports the ledger's lines, the oldest first, as a stream."""
        return exported(self.wanted(request, query_of(request)), form)


class WorkspaceUsageView(UsageOf, WorkspaceView):
    policy: ClassVar = {"GET": Action.WORKSPACE_VIEW}
    everybody = Action.USAGE_EVERYBODY

    def wanted(self, request: Request, query: dict[str, Any]) -> Slice:
        return self.slice_for(self.principal, query, workspace_id=self.principal.workspace.id)

    @extend_schema(
        operation_id="workspace_usage",
        tags=["usage"],
        parameters=[BY, *PARAMETERS],
        responses=BreakdownSerializer,
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Returns the workspace's usage, or only your own in it if you do not manage it."""
        query = query_of(request)
        return answer(self.principal, self.wanted(request, query), query["by"])


class WorkspaceExportView(WorkspaceUsageView):
    @extend_schema(
        operation_id="export_workspace_usage",
        tags=["usage"],
        parameters=PARAMETERS,
        responses={(200, "text/csv"): OpenApiTypes.BINARY, (200, "application/json"): OpenApiTypes.BINARY},
    )
    def get(  # type: ignore[override]
        self, request: Request, workspace: str, form: str
    ) -> StreamingHttpResponse:
        """Exports the workspace's ledger lines, the oldest first, as a stream."""
        return exported(self.wanted(request, query_of(request)), form)


class UsageSettingsView(PolicyView):
    policy: ClassVar = {"GET": Action.TENANT_VIEW, "PATCH": Action.BUDGETS_TEAM}

    @extend_schema(operation_id="usage_settings", tags=["usage"], responses=SettingsSerializer)
    def get(self, request: Request) -> Response:
        """Returns the team's time zone, the currency of prices, and its plan."""
        return Response(self._settings(self.principal.tenant.time_zone))

    @extend_schema(
        operation_id="change_usage_settings",
        tags=["usage"],
        request=SettingsSerializer,
        responses=SettingsSerializer,
    )
    def patch(self, request: Request) -> Response:
        """Changes the time zone; days and months follow it from now on."""
        time_zone = checked(SettingsSerializer, request)["time_zone"]
        change_time_zone(principal=self.principal, time_zone=time_zone)
        return Response(self._settings(time_zone))

    def _settings(self, time_zone: str) -> dict[str, Any]:
        plans = TenantPlan.objects.filter(tenant=self.principal.tenant.id)
        plan = plans.values_list("plan__name", flat=True).first()
        return {"time_zone": time_zone, "currency": settings.CURRENCY, "plan": plan}
