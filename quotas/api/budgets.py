"""Budgets and limits: the team's, and those that a workspace's managers set for its members and keys."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView, WorkspaceView
from accounts.models import Workspace
from accounts.policy import Action
from accounts.serializers import OldestFirst, PersonSerializer, page_of
from accounts.teams.api.tenant import PAGING
from kit.errors import NotFound
from kit.inputs import read_body, serializer_of
from quotas import budgets
from quotas.budgets import Rule
from quotas.inputs import BudgetChange, BudgetInput, MemberBudget
from quotas.models import Budget

BudgetChangeSerializer = extend_schema_serializer(component_name="Limit")(serializer_of(BudgetChange))


class BudgetSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    set_by = serializers.CharField(help_text="`team` or `operator`; operator budgets are read-only")
    plan = serializers.CharField(source="plan.name", default=None, allow_null=True)
    level = serializers.CharField()
    workspace = serializers.CharField(source="workspace.slug", default=None, allow_null=True)
    member = PersonSerializer(allow_null=True)
    api_key = serializers.UUIDField(source="api_key_id", allow_null=True)
    metric = serializers.CharField()
    window = serializers.CharField()
    limit = serializers.IntegerField(help_text="Tokens, millionths of the currency, requests or turns")
    soft_percent = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


class BudgetsView(PolicyView):
    policy: ClassVar = {"GET": Action.USAGE_TEAM, "POST": Action.BUDGETS_TEAM}

    @extend_schema(
        operation_id="budgets", tags=["usage"], parameters=PAGING, responses=page_of(BudgetSerializer)
    )
    def get(self, request: Request) -> Response:
        """Lists every budget that applies in the team: its own, the operator's and its plan's."""
        return _listed(self, budgets.budgets_of(self.principal))

    @extend_schema(
        operation_id="set_budget",
        tags=["usage"],
        request=serializer_of(BudgetInput),
        responses={201: BudgetSerializer},
    )
    def post(self, request: Request) -> Response:
        """Sets a budget or limit; without a workspace, member or key it applies to each of them."""
        budget = read_body(BudgetInput, request.data)
        rule = _rule(budget, self._workspace_id(budget.workspace))
        made = budgets.set_budget(principal=self.principal, rule=rule)
        return Response(BudgetSerializer(made).data, status=201)

    def _workspace_id(self, slug: str | None) -> UUID | None:
        if slug is None:
            return None
        known = Workspace.objects.existing().filter(tenant=self.principal.tenant.id, slug=slug)
        workspace_id = known.values_list("id", flat=True).first()
        if workspace_id is None:
            raise NotFound
        return workspace_id


class BudgetView(PolicyView):
    policy: ClassVar = {}  # the required action depends on the budget: the service checks it

    @extend_schema(
        operation_id="change_budget",
        tags=["usage"],
        request=BudgetChangeSerializer,
        responses=BudgetSerializer,
    )
    def patch(self, request: Request, budget_id: UUID) -> Response:
        """Changes a limit from the next call on; it may be below what is already used."""
        change = read_body(BudgetChange, request.data)
        changed = budgets.change_budget(principal=self.principal, budget_id=budget_id, change=change)
        return Response(BudgetSerializer(changed).data)

    @extend_schema(operation_id="remove_budget", tags=["usage"], responses={204: None})
    def delete(self, request: Request, budget_id: UUID) -> Response:
        """Removes a budget; its limit no longer applies."""
        budgets.remove_budget(principal=self.principal, budget_id=budget_id)
        return Response(status=204)


class WorkspaceBudgetsView(WorkspaceView):
    policy: ClassVar = {"GET": Action.USAGE_EVERYBODY, "POST": Action.BUDGETS_WORKSPACE}

    @extend_schema(
        operation_id="workspace_budgets",
        tags=["usage"],
        parameters=PAGING,
        responses=page_of(BudgetSerializer),
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the budgets of this workspace, its members and its keys."""
        return _listed(self, budgets.budgets_in(self.principal))

    @extend_schema(
        operation_id="set_workspace_budget",
        tags=["usage"],
        request=serializer_of(MemberBudget),
        responses={201: BudgetSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Sets what one or each member, or a key, may use in this workspace."""
        budget = read_body(MemberBudget, request.data)
        of_member = budget.level == Budget.Level.MEMBER
        rule = _rule(budget, self.principal.workspace.id if of_member else None)
        made = budgets.set_budget(principal=self.principal, rule=rule)
        return Response(BudgetSerializer(made).data, status=201)


def _listed(view: PolicyView, rows: Any) -> Response:
    pages = OldestFirst()
    shown = pages.paginate_queryset(rows, view.request, view)
    return pages.get_paginated_response(BudgetSerializer(shown, many=True).data)


def _rule(budget: MemberBudget, workspace_id: UUID | None) -> Rule:
    return Rule(
        level=budget.level,
        metric=budget.metric,
        window=budget.window,
        limit=budget.limit,
        soft_percent=budget.soft_percent,
        workspace_id=workspace_id,
        member_id=budget.member,
        api_key_id=budget.api_key,
    )
