"""Budgets and limits of tenants, workspaces, members and keys, and plans that contain them."""

from typing import ClassVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from accounts.models import ApiKey, Tenant, Workspace

EVERYBODY = UUID(int=0)
MOST = 10**15  # of any metric; sums below it fit into a bigint


class Plan(models.Model):
    """A named set of budgets that an operator edits and gives to tenants."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=60, unique=True)
    is_default = models.BooleanField(default=False, help_text="Assigned to new tenants")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], name="one_default_plan", condition=Q(is_default=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TenantPlan(models.Model):
    """A tenant's plan."""

    tenant = models.OneToOneField(
        Tenant, primary_key=True, on_delete=models.CASCADE, related_name="plan_given"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="tenants")
    given_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.tenant_id} has {self.plan_id}"


class Budget(models.Model):
    """The rule: at most `limit` of a metric within a window, for a tenant or every tenant with a plan.

    `workspace`, `member` and `api_key` are its target; empty means that each has its own. A member's budget
    with a workspace counts only the member's usage in that workspace.
    """

    class Level(models.TextChoices):
        TENANT = "tenant"
        WORKSPACE = "workspace"
        MEMBER = "member"
        API_KEY = "api_key", "API key"

    class Metric(models.TextChoices):
        TOKENS = "tokens"
        COST = "cost"
        REQUESTS = "requests"
        TURNS = "turns", "concurrent turns"

    class Window(models.TextChoices):
        MINUTE = "minute"
        DAY = "day"
        MONTH = "month"
        TOTAL = "total"
        AT_ONCE = "at_once", "concurrent"

    class SetBy(models.TextChoices):
        """An operator's budgets and a team's own both apply: neither raises the other."""

        OPERATOR = "operator"
        TEAM = "team"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets")
    set_by = models.CharField(max_length=10, choices=SetBy.choices, default=SetBy.TEAM)
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.WORKSPACE)
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    api_key = models.ForeignKey(
        ApiKey, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    metric = models.CharField(max_length=10, choices=Metric.choices, default=Metric.TOKENS)
    window = models.CharField(max_length=10, choices=Window.choices, default=Window.MONTH)
    limit = models.BigIntegerField(help_text="Tokens, millionths of the currency, requests or turns")
    soft_percent = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Percentage of the limit at which a warning is sent, once per window"
    )
    target = models.GeneratedField(
        expression=Coalesce(F("member_id"), F("api_key_id"), F("workspace_id"), models.Value(EVERYBODY)),
        output_field=models.UUIDField(),
        db_persist=True,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "plan", "set_by", "level", "workspace", "target", "metric", "window"],
                name="one_budget_a_rule",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(limit__gte=0, limit__lte=MOST), name="budget_limit_makes_sense"
            ),
            models.CheckConstraint(
                condition=Q(soft_percent=None) | Q(soft_percent__gte=1, soft_percent__lte=99),
                name="budget_soft_limit_is_below",
            ),
            models.CheckConstraint(
                condition=Q(tenant=None, plan__isnull=False, set_by="operator")
                | Q(tenant__isnull=False, plan=None),
                name="budget_is_a_tenants_or_a_plans",
            ),
            models.CheckConstraint(
                condition=Q(metric__in=["tokens", "cost"], window__in=["day", "month", "total"])
                | Q(metric__in=["tokens", "requests"], window="minute", soft_percent=None)
                | Q(metric="turns", window="at_once", soft_percent=None),
                name="budget_metric_fits_the_window",
            ),
            models.CheckConstraint(
                condition=Q(level="tenant", workspace=None, member=None, api_key=None)
                | Q(level="workspace", member=None, api_key=None)
                | Q(level="member", api_key=None)
                | Q(level="api_key", workspace=None, member=None),
                name="budget_target_fits_the_level",
            ),
            models.CheckConstraint(
                condition=Q(plan=None) | Q(workspace=None, member=None, api_key=None),
                name="a_plan_names_nobody",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "target"], name="budget_target"),
            models.Index(fields=["tenant", "created_at", "id"], name="budget_tenant"),
            models.Index(fields=["created_at"], name="budget_created"),
        ]

    def __str__(self) -> str:
        return f"{self.limit} {self.metric} a {self.window}"
