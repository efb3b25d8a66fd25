"""The page of API keys: the person's own, and for admins everyone's."""

from datetime import timedelta
from uuid import UUID

from django import forms
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.keys import services
from accounts.keys.inputs import KeyInput
from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import button, needs, save_form
from accounts.pagination import page_of
from accounts.policy import Action, Scope, may
from accounts.principals import Principal
from kit.inputs import form_field, read_form

LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("", "Never")]
DESCRIBED_SCOPES = [
    (Scope.CHAT.value, "Chat: send messages, including through the OpenAI-compatible API"),
    (Scope.READ.value, "Read: see conversations, members and settings"),
    (Scope.MANAGE.value, "Manage: change members and settings, within the owner's rights"),
]


class KeyForm(forms.Form):
    name = form_field(
        KeyInput, "name", label="Name", help_text="What the key is for, for example “nightly report”."
    )
    scopes = form_field(
        KeyInput, "scopes", label="Permissions", choices=DESCRIBED_SCOPES, initial=[Scope.CHAT.value]
    )
    reach = forms.ChoiceField(label="Scope", choices=[])
    owner = forms.ChoiceField(label="Acts as", choices=[], required=False)
    days = forms.ChoiceField(label="Expires", choices=LIFETIMES, initial="90", required=False)

    def __init__(self, principal: Principal, data: QueryDict | None = None) -> None:
        super().__init__(data)
        reach = [("workspace", f"Only {principal.workspace.name}")]
        owners = [("", "You")]
        if may(principal, Action.TENANT_KEYS):
            reach.append(("tenant", "All workspaces of its owner"))
        if may(principal, Action.SERVICE_ACCOUNTS_CHANGE):
            accounts = services.service_accounts_of(principal).order_by("name")[: services.MOST_KEYS]
            owners += [(str(account.id), f"{account.name} (service account)") for account in accounts]
        self.fields["reach"].choices = reach  # type: ignore[attr-defined]
        self.fields["owner"].choices = owners  # type: ignore[attr-defined]

    def key(self) -> KeyInput:
        owner, days = self.cleaned_data["owner"], self.cleaned_data["days"]
        return read_form(
            KeyInput,
            self,
            service_account=UUID(owner) if owner else None,
            expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
        )

    def is_for_tenant(self) -> bool:
        return bool(self.cleaned_data["reach"] == "tenant")


@require_http_methods(["GET", "POST"])
@needs(Action.KEYS_OWN)
def keys(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """Only the response to the form contains the new key's text."""
    principal = request.principal
    form, made = KeyForm(principal, request.POST or None), None

    def create() -> services.NewKey:
        return services.create_key(principal=principal, key=form.key(), for_tenant=form.is_for_tenant())

    if request.method == "POST":
        made = save_form(form, create)
    shown = page_of(request, services.listed_keys(principal), newest_first=True)
    context = {
        "form": KeyForm(principal) if made else form,
        "keys": shown,
        "made": made[0] if made else None,
    }
    answer = render(request, "settings/keys.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


revoke_key = button(needs(Action.KEYS_REVOKE), services.revoke_key, done="Key revoked.", back="keys")
