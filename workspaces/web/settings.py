"""The settings: the team's name and rules, its workspaces, API keys, and the audit."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.audit.queries import AuditFilter, entries_of
from accounts.keys import services as api_keys
from accounts.middleware import WorkspaceRequest
from accounts.models import Tenant
from accounts.page_helpers import act, blame, needs, told
from accounts.page_urls import place_url
from accounts.pagination import page_of
from accounts.policy import Action, Scope, may
from accounts.principals import Principal
from accounts.teams import tenants
from accounts.teams import workspaces as rooms
from accounts.teams.pages.members import offer_for
from kit.errors import DomainError
from quotas.usage import used_this_month
from workspaces import onboarding

KEY_LIVES = [("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("", "Never")]
SCOPES = [
    (Scope.CHAT.value, "Chat: send messages, including through the OpenAI-compatible API"),
    (Scope.READ.value, "Read: see conversations, members and settings"),
    (Scope.MANAGE.value, "Manage: change members and settings, within the owner's rights"),
]


class TeamForm(forms.Form):
    name = forms.CharField(label="Team name", max_length=100)
    departed_conversations = forms.ChoiceField(
        label="Private conversations and prompts of people who leave", choices=Tenant.Departed.choices
    )


class NameForm(forms.Form):
    name = forms.CharField(label="Name", max_length=100)


class KeyForm(forms.Form):
    name = forms.CharField(
        label="Name", max_length=100, help_text="What the key is for, for example “nightly report”."
    )
    scopes = forms.MultipleChoiceField(
        label="Permissions", choices=SCOPES, widget=forms.CheckboxSelectMultiple, initial=["chat"]
    )
    reach = forms.ChoiceField(label="Scope", choices=[])
    owner = forms.ChoiceField(label="Acts as", choices=[], required=False)
    days = forms.ChoiceField(label="Expires", choices=KEY_LIVES, initial="90", required=False)

    def __init__(self, principal: Principal, data: QueryDict | None = None) -> None:
        super().__init__(data)
        reach = [("workspace", f"Only {principal.workspace.name}")]
        owners = [("", "You")]
        if may(principal, Action.TENANT_KEYS):
            reach.append(("tenant", "All workspaces of its owner"))
        if may(principal, Action.SERVICE_ACCOUNTS_CHANGE):
            accounts = api_keys.service_accounts_of(principal).order_by("name")[: api_keys.MOST_KEYS]
            owners += [(str(account.id), f"{account.name} (service account)") for account in accounts]
        self.fields["reach"].choices = reach  # type: ignore[attr-defined]
        self.fields["owner"].choices = owners  # type: ignore[attr-defined]

    def wish(self) -> dict[str, Any]:
        """What `create_key` takes."""
        sent = self.cleaned_data
        return {
            "name": sent["name"],
            "scopes": sent["scopes"],
            "for_tenant": sent["reach"] == "tenant",
            "service_account": UUID(sent["owner"]) if sent["owner"] else None,
            "expires_at": timezone.now() + timedelta(days=int(sent["days"])) if sent["days"] else None,
        }


@require_http_methods(["GET", "POST"])
@needs(Action.TENANT_VIEW, post=Action.TENANT_CHANGE)
def team(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """The team's name and rules; for who may not change them, to read."""
    tenant = tenants.tenant_of(request.principal)
    initial = {"name": tenant.name, "departed_conversations": tenant.departed_conversations}
    form = TeamForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            tenants.change_tenant(principal=request.principal, **form.cleaned_data)
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, "Saved.")
            return redirect(place_url(request.principal, "settings"))
    context = {"form": form, "team": tenant, "offer": offer_for(request.principal)}
    return render(request, "settings/team.html", context)


@require_http_methods(["GET", "POST"])
@needs(Action.TENANT_VIEW, post=Action.WORKSPACE_CREATE)
def workspaces(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """The workspaces that one is in or over, with members and use this month; a form that adds one."""
    form = NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = onboarding.open_workspace(principal=request.principal, **form.cleaned_data)
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, f"{made.workspace.name} created.")
            return redirect(place_url(request.principal, "workspace_settings", slug=made.workspace.slug))
    shown = page_of(request, rooms.listed_workspaces(request.principal))
    used = used_this_month(request.principal.tenant, (row.id for row in shown.rows))
    for row in shown.rows:
        row.used_this_month = used.get(row.id, 0)
    default = Tenant.objects.values_list("default_workspace", flat=True).get(id=request.principal.tenant.id)
    return render(request, "settings/workspaces.html", {"form": form, "rooms": shown, "default": default})


@require_GET
@needs(Action.AUDIT_VIEW)
def audit(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """What was done in the team, narrowed by action, person and time."""
    problem, rows = "", entries_of(request.principal)
    try:
        rows = AuditFilter.parse(_moments(request.GET)).apply(rows)
    except DomainError as wrong:
        problem = told(wrong)
    shown = page_of(request, rows, moment="at", newest_first=True)
    for row in shown.rows:
        row.told = [(name, _text(before), _text(after)) for name, (before, after) in row.changes.items()]
    return render(
        request, "settings/audit.html", {"entries": shown, "wanted": request.GET, "problem": problem}
    )


def _text(value: Any) -> str:
    """A value of the audit, as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "none" if value in {None, ""} else str(value)


def _moments(wanted: QueryDict) -> dict[str, str]:
    """Days, as a browser's date field sends them, are whole ones of UTC."""
    plain = {name: str(text).replace("\0", "") for name, text in wanted.items()}
    for name, hour in (("since", "T00:00:00Z"), ("until", "T00:00:00Z")):
        if len(plain.get(name, "")) == len("2026-01-31"):
            plain[name] += hour
    return plain


@require_http_methods(["GET", "POST"])
@needs(Action.KEYS_OWN)
def keys(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """One's keys, for admins everybody's; a new one is shown in the answer to its form and nowhere else."""
    form, made = KeyForm(request.principal, request.POST or None), None
    if request.method == "POST" and form.is_valid():
        try:
            made = api_keys.create_key(principal=request.principal, **form.wish())
        except DomainError as problem:
            blame(form, problem)
        else:
            form = KeyForm(request.principal)
    shown = page_of(request, api_keys.listed_keys(request.principal), newest_first=True)
    answer = render(request, "settings/keys.html", {"form": form, "keys": shown, "made": made})
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
@needs(Action.KEYS_REVOKE)
def revoke_key(request: WorkspaceRequest, key_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        api_keys.revoke_key,
        principal=request.principal,
        key_id=key_id,
        done="Key revoked.",
        back=place_url(request.principal, "keys"),
    )
