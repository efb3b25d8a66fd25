"""The budgets page: a list of budgets, and forms that set, change and remove them."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import ApiKey, Tenant, Workspace, WorkspaceMember
from accounts.page_helpers import act, button, form_page, needs
from accounts.page_urls import page_url
from accounts.pagination import page_of
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.inputs import form_field
from quotas import budgets as services
from quotas.budgets import Rule
from quotas.inputs import BudgetChange, BudgetInput, SettingsChange
from quotas.models import Budget, TenantPlan
from quotas.models.rules import MOST
from quotas.prices import MILLION

Level, Metric, Window = Budget.Level, Budget.Metric, Budget.Window
MOST_OFFERED = 200  # of each kind in the select of targets; the API has no such bound
METRICS = [
    ("tokens/day", "Tokens per day"),
    ("tokens/month", "Tokens per month"),
    ("tokens/total", "Total tokens"),
    ("tokens/minute", "Tokens per minute"),
    ("cost/day", "Cost per day"),
    ("cost/month", "Cost per month"),
    ("cost/total", "Total cost"),
    ("requests/minute", "Requests per minute"),
    ("turns/at_once", "Concurrent replies"),
]
WHOLE_NUMBERS = {Metric.TOKENS, Metric.REQUESTS, Metric.TURNS}
Choices = list[tuple[str, str]]


class AmountForm(forms.Form):
    """A limit: a whole number, or a cost with up to six decimals."""

    limit = forms.DecimalField(
        label="Limit", min_value=0, max_value=Decimal(MOST), max_digits=22, decimal_places=6
    )
    soft_percent = form_field(
        BudgetInput, "soft_percent", label="Warn at (%)", help_text="Leave empty for no warning."
    )
    metric = ""

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or {}
        limit = sent.get("limit")
        if limit is not None and self.metric in WHOLE_NUMBERS and limit != limit.to_integral_value():
            self.add_error("limit", "Enter a whole number.")
        return sent

    @property
    def amount(self) -> int:
        """The limit in its metric's unit."""
        limit: Decimal = self.cleaned_data["limit"]
        return int(limit * MILLION if self.metric == Metric.COST else limit)

    @property
    def change(self) -> BudgetChange:
        return BudgetChange(limit=self.amount, soft_percent=self.cleaned_data["soft_percent"])


class BudgetForm(AmountForm):
    target = forms.ChoiceField(label="For", choices=[])
    kind = forms.ChoiceField(label="What", choices=METRICS, initial="tokens/month")
    field_order = ("target", "kind", "limit", "soft_percent")

    def __init__(self, principal: Principal, data: QueryDict | None = None) -> None:
        super().__init__(data, initial={"soft_percent": 80})
        self.fields["target"].choices = targets_for(principal)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        self.metric, _, self.window = self.cleaned_data.get("kind", "").partition("/")
        return super().clean()

    @property
    def rule(self) -> Rule:
        return Rule(
            metric=self.metric,
            window=self.window,
            limit=self.amount,
            soft_percent=None if self.window in services.WITHOUT_SOFT else self.cleaned_data["soft_percent"],
            **target_of(self.cleaned_data["target"]),
        )


def target_of(text: str) -> dict[str, Any]:
    """`level[:id][@workspace]` as the fields of a Rule."""
    target, _, workspace = text.partition("@")
    level, _, own = target.partition(":")
    columns = {"workspace": "workspace_id", "member": "member_id", "api_key": "api_key_id"}
    fields: dict[str, Any] = {"level": level}
    if own:
        fields[columns[level]] = UUID(own)
    if workspace:
        fields["workspace_id"] = UUID(workspace)
    return fields


def targets_for(principal: Principal) -> Choices:
    """The targets for which the principal may set a budget."""
    workspace = principal.workspace
    members = (
        WorkspaceMember.objects.filter(workspace=workspace.id).select_related("user").order_by("created_at")
    )
    people = [member.user for member in members[:MOST_OFFERED]]
    choices: Choices = []
    if may(principal, Action.BUDGETS_TEAM):
        workspaces = Workspace.objects.existing().filter(tenant=principal.tenant.id).order_by("name")
        choices += [("tenant", "The whole team"), ("workspace", "Each workspace")]
        choices += [(f"workspace:{row.id}", f"Workspace {row.name}") for row in workspaces[:MOST_OFFERED]]
        choices += [("member", "Each member, in all workspaces")]
        choices += [(f"member:{row.id}", f"{row.label}, in all workspaces") for row in people]
    choices.append((f"member@{workspace.id}", f"Each member, in {workspace.name}"))
    choices += [(f"member:{row.id}@{workspace.id}", f"{row.label}, in {workspace.name}") for row in people]
    keys = ApiKey.objects.unrevoked().filter(tenant=principal.tenant.id).order_by("created_at")
    if may(principal, Action.BUDGETS_TEAM):
        choices.append(("api_key", "Each API key"))
    else:
        keys = keys.filter(workspace=workspace.id)
    choices += [(f"api_key:{row.id}", f"API key {row.name} ({row.prefix}…)") for row in keys[:MOST_OFFERED]]
    return choices


class ZoneForm(forms.Form):
    time_zone = form_field(
        SettingsChange,
        "time_zone",
        label="Time zone",
        help_text="Days and months start at midnight in this time zone, for example Europe/Berlin.",
    )


@require_http_methods(["GET", "POST"])
@needs(Action.USAGE_EVERYBODY, post=Action.BUDGETS_WORKSPACE)
def budgets(request: WorkspaceRequest, **route: str) -> HttpResponse:
    """The workspace's budgets, or all of the team's for owners and admins; a form that sets one."""
    principal = request.principal
    form = BudgetForm(principal, request.POST or None)
    return form_page(
        request,
        form,
        save=lambda: services.set_budget(principal=principal, rule=form.rule),
        done="Budget set. It applies from the next message.",
        back=page_url(principal, "budgets"),
        page=lambda: _page(request, form),
    )


def _page(request: WorkspaceRequest, form: BudgetForm) -> HttpResponse:
    principal = request.principal
    of_team = may(principal, Action.USAGE_TEAM)
    rows = services.budgets_of(principal) if of_team else services.budgets_in(principal)
    plan = TenantPlan.objects.filter(tenant=principal.tenant.id).values_list("plan__name", flat=True).first()
    zone = Tenant.objects.values_list("time_zone", flat=True).get(id=principal.tenant.id)
    context = {
        "form": form,
        "budgets": page_of(request, rows),
        "plan": plan,
        "zone_form": ZoneForm(initial={"time_zone": zone}),
        "time_zone": zone,
        "currency": settings.CURRENCY,
    }
    return render(request, "usage/budgets.html", context)


@require_POST
@needs(Action.BUDGETS_WORKSPACE)
def change_budget(request: WorkspaceRequest, budget_id: UUID, **route: str) -> HttpResponse:
    form, back = AmountForm(request.POST), page_url(request.principal, "budgets")
    own = Budget.objects.filter(id=budget_id, tenant=request.principal.tenant.id)
    form.metric = own.values_list("metric", flat=True).first() or ""
    if not form.is_valid():
        messages.error(request, str(next(iter(form.errors.values()))[0]))
        return redirect(back)
    return act(
        request,
        services.change_budget,
        principal=request.principal,
        budget_id=budget_id,
        done="Budget changed. It applies from the next message.",
        back=back,
        change=form.change,
    )


remove_budget = button(
    needs(Action.BUDGETS_WORKSPACE), services.remove_budget, done="Budget removed.", back="budgets"
)


change_zone = button(
    needs(Action.BUDGETS_TEAM),
    services.change_time_zone,
    done="Time zone saved.",
    back="budgets",
    reads=lambda request, principal: {"time_zone": request.POST.get("time_zone", "").strip()},
)
