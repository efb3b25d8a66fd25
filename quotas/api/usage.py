"""What was used, broken down and exported: one's own, a workspace's, the team's."""

from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.models import ApiKey, Membership, Workspace
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import NotFound
from kit.inputs import read_body, serializer_of
from quotas.budgets import change_time_zone
from quotas.exports import exported
from quotas.inputs import SettingsChange, TeamUsageFilter, TeamUsageQuery, UsageFilter, UsageQuery
from quotas.models import TenantPlan, UsageRecord
from quotas.usage import Breakdown, Slice, break_down, slice_of
from quotas.windows import LONGEST_ZONE

T = TypeVar("T")
SettingsChangeSerializer = extend_schema_serializer(component_name="Settings")(serializer_of(SettingsChange))


class LedgerLineSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    day = serializers.DateField(help_text="In the team's time zone")
    workspace = serializers.CharField()
    member = serializers.CharField()
    api_key = serializers.CharField(allow_null=True)
    purpose = serializers.CharField()
    model = serializers.CharField()
    provider = serializers.CharField()
    engine = serializers.CharField()
    turn_id = serializers.UUIDField()
    call_id = serializers.UUIDField()
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Part of the input tokens")
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField(help_text="Part of the output tokens")
    cost = serializers.IntegerField(allow_null=True, help_text="Millionths of the currency")
    exactness = serializers.ChoiceField(choices=UsageRecord.Exactness.choices)
    flag = serializers.CharField(help_text="Why a manager should check the call; empty for most")
    is_correction = serializers.BooleanField()


class LedgerSerializer(serializers.Serializer[Any]):
    """The ledger's lines, the oldest first."""

    data = LedgerLineSerializer(many=True)  # type: ignore[assignment]  # a field called data


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
    time_zone = serializers.CharField(
        max_length=LONGEST_ZONE, help_text="IANA name; days and months follow it"
    )
    currency = serializers.CharField(read_only=True)
    plan = serializers.CharField(read_only=True, allow_null=True)


class UsageOf:
    """Decides whose usage a request may see."""

    everybody: ClassVar[Action]

    def slice_for(self, principal: Principal, wanted: UsageFilter, *, workspace_id: UUID | None) -> Slice:
        """The principal's own usage unless they may see everyone's; NotFound if they name another member."""
        own = wanted.mine or not may(principal, self.everybody)
        if own and wanted.member not in {None, principal.user_id}:
            raise NotFound
        expect_known(principal, wanted)
        return slice_of(
            principal.tenant,
            wanted.since,
            wanted.until,
            user_id=principal.user_id if own else wanted.member,
            api_key_id=wanted.api_key,
            model=wanted.model or "",
            purpose=wanted.purpose or "",
            workspace_id=workspace_id,
        )


def expect_known(principal: Principal, wanted: UsageFilter) -> None:
    """NotFound for a member or key that does not belong to the team."""
    tenant, member, key = principal.tenant.id, wanted.member, wanted.api_key
    if member is not None and not Membership.objects.filter(tenant=tenant, user=member).exists():
        raise NotFound
    if key is not None and not ApiKey.objects.filter(tenant=tenant, id=key).exists():
        raise NotFound


def read_query(input_class: type[T], request: Request) -> T:
    """InvalidInput names every wrong and every unknown parameter."""
    return read_body(input_class, request.query_params.dict())


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

    def wanted(self, query: TeamUsageFilter) -> Slice:
        return self.slice_for(self.principal, query, workspace_id=self._workspace_id(query.workspace))

    def _workspace_id(self, slug: str | None) -> UUID | None:
        if slug is None:
            return None
        rows = Workspace.objects.filter(tenant=self.principal.tenant.id, slug=slug)
        workspace_id = rows.values_list("id", flat=True).first()
        if workspace_id is None:
            raise NotFound
        return workspace_id

    @extend_schema(
        operation_id="usage",
        tags=["usage"],
        parameters=[serializer_of(TeamUsageQuery)],
        responses=BreakdownSerializer,
    )
    def get(self, request: Request) -> Response:
        """Returns the team's usage, or only your own if you may not see everyone's."""
        query = read_query(TeamUsageQuery, request)
        return answer(self.principal, self.wanted(query), query.by)


class TeamExportView(TeamUsageView):
    @extend_schema(
        operation_id="export_usage",
        tags=["usage"],
        parameters=[serializer_of(TeamUsageFilter)],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): LedgerSerializer},
    )
    def get(self, request: Request, form: str) -> StreamingHttpResponse:  # type: ignore[override]
        """Exports the ledger's lines, the oldest first, as a stream."""
        return exported(self.wanted(read_query(TeamUsageFilter, request)), form)


class WorkspaceUsageView(UsageOf, WorkspaceView):
    policy: ClassVar = {"GET": Action.WORKSPACE_VIEW}
    everybody = Action.USAGE_EVERYBODY

    def wanted(self, query: UsageFilter) -> Slice:
        return self.slice_for(self.principal, query, workspace_id=self.principal.workspace.id)

    @extend_schema(
        operation_id="workspace_usage",
        tags=["usage"],
        parameters=[serializer_of(UsageQuery)],
        responses=BreakdownSerializer,
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Returns the workspace's usage, or only your own in it if you do not manage it."""
        query = read_query(UsageQuery, request)
        return answer(self.principal, self.wanted(query), query.by)


class WorkspaceExportView(WorkspaceUsageView):
    @extend_schema(
        operation_id="export_workspace_usage",
        tags=["usage"],
        parameters=[serializer_of(UsageFilter)],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): LedgerSerializer},
    )
    def get(  # type: ignore[override]
        self, request: Request, workspace: str, form: str
    ) -> StreamingHttpResponse:
        """Exports the workspace's ledger lines, the oldest first, as a stream."""
        return exported(self.wanted(read_query(UsageFilter, request)), form)


class UsageSettingsView(PolicyView):
    policy: ClassVar = {"GET": Action.TENANT_VIEW, "PATCH": Action.BUDGETS_TEAM}

    @extend_schema(operation_id="usage_settings", tags=["usage"], responses=SettingsSerializer)
    def get(self, request: Request) -> Response:
        """Returns the team's time zone, the currency of prices, and its plan."""
        return Response(self._settings(self.principal.tenant.time_zone))

    @extend_schema(
        operation_id="change_usage_settings",
        tags=["usage"],
        request=SettingsChangeSerializer,
        responses=SettingsSerializer,
    )
    def patch(self, request: Request) -> Response:
        """Changes the time zone; days and months follow it from now on."""
        time_zone = read_body(SettingsChange, request.data).time_zone
        change_time_zone(principal=self.principal, time_zone=time_zone)
        return Response(self._settings(time_zone))

    def _settings(self, time_zone: str) -> dict[str, Any]:
        plans = TenantPlan.objects.filter(tenant=self.principal.tenant.id)
        plan = plans.values_list("plan__name", flat=True).first()
        return {"time_zone": time_zone, "currency": settings.CURRENCY, "plan": plan}
