"""The pages of the team: members, invitations, service accounts."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.inputs import GIVEN_ROLES
from accounts.keys import services as api_keys
from accounts.keys.inputs import ServiceAccountInput
from accounts.middleware import WorkspaceRequest
from accounts.models import OwnershipOffer, User
from accounts.page_helpers import button, form_page, needs, save_form
from accounts.page_urls import page_url
from accounts.pagination import page_of, searched
from accounts.policy import Action
from accounts.principals import Principal
from accounts.teams import invitations, members
from accounts.teams.inputs import MOST_AT_ONCE, InvitationInput, WorkspaceRoleInput
from accounts.teams.invitation_limits import may_send
from accounts.teams.workspaces import listed_workspaces
from kit.errors import NotFound
from kit.inputs import form_field, read_form


class InvitationForm(forms.Form):
    """Addresses may be pasted with lines, commas, semicolons or spaces between them."""

    emails = forms.CharField(label="Email addresses", max_length=30_000, widget=forms.Textarea({"rows": 3}))
    role = form_field(InvitationInput, "role", label="Team role", required=True)
    workspaces = forms.MultipleChoiceField(label="Workspaces", widget=forms.CheckboxSelectMultiple)
    place_role = form_field(WorkspaceRoleInput, "role", label="Workspace role", required=True)

    def __init__(self, principal: Principal, data: Any = None) -> None:
        super().__init__(data, initial={"workspaces": [principal.workspace.slug]})
        rows = listed_workspaces(principal).open().order_by("name")
        self.fields["workspaces"].choices = [(row.slug, row.name) for row in rows]  # type: ignore[attr-defined]

    def clean_emails(self) -> list[str]:
        text = str(self.cleaned_data["emails"])
        for separator in ",;<>\n\r\t":
            text = text.replace(separator, " ")
        parts = text.split()
        found = [part for part in parts if "@" in part]
        if parts and not found:
            raise forms.ValidationError(f"“{parts[0][:60]}” is not an email address.")
        if not 0 < len(found) <= MOST_AT_ONCE:
            raise forms.ValidationError(f"Enter 1 to {MOST_AT_ONCE} email addresses.")
        return found


class ServiceAccountForm(forms.Form):
    name = form_field(ServiceAccountInput, "name", label="Name")
    workspace_role = form_field(ServiceAccountInput, "workspace_role", label="Workspace role", required=True)


@require_GET
@needs(Action.MEMBERS_VIEW)
def team(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    find = searched(request)
    rows = members.members_of(request.principal)
    if find:
        rows = rows.filter(Q(user__name__icontains=find) | Q(user__email__icontains=find))
    context = {
        "members": page_of(request, rows),
        "wanted": find,
        "roles": GIVEN_ROLES,
        "offer": offer_for(request.principal),
    }
    return render(request, "team/members.html", context)


def offer_for(principal: Principal) -> OwnershipOffer | None:
    try:
        return members.current_offer(principal)
    except NotFound:
        return None


@require_http_methods(["GET", "POST"])
@needs(Action.INVITATIONS_VIEW, post=Action.INVITATIONS_CHANGE)
def invited(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """The open invitations, and a form that adds some; each refused address is listed with the reason."""
    form, outcomes = InvitationForm(request.principal, request.POST or None), list[invitations.Outcome]()
    saved = save_form(form, lambda: _invite(request.principal, form)) if request.method == "POST" else None
    if saved is not None:
        (outcomes,) = saved
        sent = sum(outcome.invitation is not None for outcome in outcomes)
        if sent == len(outcomes):
            messages.success(request, "Invitation sent." if sent == 1 else f"{sent} invitations sent.")
            return redirect(page_url(request.principal, "invitations"))
        form = InvitationForm(request.principal)  # only the refused addresses are left to correct
        form.initial["emails"] = "\n".join(outcome.email for outcome in outcomes if outcome.problem)
    refused = [outcome for outcome in outcomes if outcome.problem]
    context = {
        "form": form,
        "invitations": page_of(request, invitations.open_invitations(request.principal), newest_first=True),
        "refused": refused,
        "may_send": may_send(request.principal),
        "sent": len(outcomes) - len(refused),
    }
    return render(request, "team/invitations.html", context)


def _invite(principal: Principal, form: InvitationForm) -> list[invitations.Outcome]:
    fields = form.cleaned_data
    return invitations.invite_list(
        principal=principal,
        emails=fields["emails"],
        role=fields["role"],
        workspace_roles=dict.fromkeys(fields["workspaces"], fields["place_role"]),
    )


@require_http_methods(["GET", "POST"])
@needs(Action.SERVICE_ACCOUNTS_VIEW, post=Action.SERVICE_ACCOUNTS_CHANGE)
def service_accounts(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    form = ServiceAccountForm(request.POST or None)
    rows = page_of(request, api_keys.service_accounts_of(request.principal))

    def create() -> User:
        account = read_form(ServiceAccountInput, form)
        return api_keys.create_service_account(principal=request.principal, account=account)

    return form_page(
        request,
        form,
        save=create,
        done="Service account added. Create a key for it under Settings, API keys.",
        back=page_url(request.principal, "service_accounts"),
        page=lambda: render(request, "team/service_accounts.html", {"form": form, "accounts": rows}),
    )


def _role_input(request: WorkspaceRequest, principal: Principal, user_id: UUID) -> dict[str, Any]:
    """A role that the select does not offer becomes the weakest."""
    role = request.POST.get("role", "")
    known = any(role == value for value, _ in GIVEN_ROLES)
    return {"user_id": user_id, "role": role if known else str(GIVEN_ROLES[-1][0])}


def _page_after_removal(request: WorkspaceRequest, principal: Principal, user_id: UUID) -> str:
    return "/" if user_id == principal.user_id else page_url(principal, "members")


change_role = button(
    needs(Action.MEMBERS_CHANGE),
    members.change_role,
    reads=_role_input,
    done="Saved. The new role applies now.",
    back="members",
)
remove = button(
    needs(Action.MEMBERS_CHANGE),
    members.remove_from_tenant,
    done="Member removed. They no longer have access.",
    back=_page_after_removal,
)
offer_ownership = button(
    needs(Action.OWNERSHIP_PASS),
    members.offer_ownership,
    done="Ownership offered. The transfer takes effect when they accept.",
    back="members",
)
withdraw_offer = button(
    needs(Action.OWNERSHIP_PASS), members.withdraw_offer, done="Offer withdrawn.", back="members"
)
accept_ownership = button(
    needs(Action.OWNERSHIP_ACCEPT),
    members.accept_ownership,
    done="You are now the owner of this team.",
    back="members",
)
resend = button(
    needs(Action.INVITATIONS_CHANGE),
    invitations.resend,
    done="Invitation sent again with a new link.",
    back="invitations",
)
withdraw = button(
    needs(Action.INVITATIONS_CHANGE),
    invitations.revoke,
    done="Invitation withdrawn. Its link no longer works.",
    back="invitations",
)
remove_service_account = button(
    needs(Action.SERVICE_ACCOUNTS_CHANGE),
    api_keys.remove_service_account,
    done="Service account removed. Its keys no longer work.",
    back="service_accounts",
)
