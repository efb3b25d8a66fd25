"""The pages of the team: its members, those invited, its service accounts."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.keys import services as api_keys
from accounts.middleware import WorkspaceRequest
from accounts.models import Membership, OwnershipOffer, WorkspaceMember
from accounts.page_helpers import act, blame, needs
from accounts.page_urls import place_url
from accounts.pagination import page_of, searched
from accounts.policy import Action
from accounts.principals import Principal
from accounts.teams import invitations, members
from accounts.teams.invitation_limits import may_send
from accounts.teams.workspaces import listed_workspaces
from kit.errors import DomainError, NotFound

GIVEN_ROLES = [choice for choice in Membership.Role.choices if choice[0] != Membership.Role.OWNER]


class InvitationForm(forms.Form):
    """Addresses as people paste them: by lines, commas, semicolons or spaces."""

    emails = forms.CharField(label="Email addresses", max_length=30_000, widget=forms.Textarea({"rows": 3}))
    role = forms.ChoiceField(label="Team role", choices=GIVEN_ROLES, initial=Membership.Role.MEMBER)
    workspaces = forms.MultipleChoiceField(label="Workspaces", widget=forms.CheckboxSelectMultiple)
    place_role = forms.ChoiceField(
        label="Workspace role",
        choices=WorkspaceMember.Role.choices,
        initial=WorkspaceMember.Role.EDITOR,
    )

    def __init__(self, principal: Principal, data: Any = None) -> None:
        super().__init__(data, initial={"workspaces": [principal.workspace.slug]})
        rooms = listed_workspaces(principal).filter(archived_at=None).order_by("name")
        self.fields["workspaces"].choices = [(room.slug, room.name) for room in rooms]  # type: ignore[attr-defined]

    def clean_emails(self) -> list[str]:
        text = str(self.cleaned_data["emails"])
        for sign in ",;<>\n\r\t":
            text = text.replace(sign, " ")
        parts = text.split()
        found = [part for part in parts if "@" in part]
        if parts and not found:
            raise forms.ValidationError(f"“{parts[0][:60]}” is not an email address.")
        if not 0 < len(found) <= invitations.MOST_AT_ONCE:
            raise forms.ValidationError(f"Enter 1 to {invitations.MOST_AT_ONCE} email addresses.")
        return found


class ServiceAccountForm(forms.Form):
    name = forms.CharField(label="Name", max_length=100)
    workspace_role = forms.ChoiceField(
        label="Workspace role",
        choices=WorkspaceMember.Role.choices,
        initial=WorkspaceMember.Role.EDITOR,
    )


@require_GET
@needs(Action.MEMBERS_VIEW)
def team(request: WorkspaceRequest, **place: str) -> HttpResponse:
    wanted = searched(request)
    rows = members.members_of(request.principal)
    if wanted:
        rows = rows.filter(Q(user__name__icontains=wanted) | Q(user__email__icontains=wanted))
    shown = page_of(request, rows)
    context = {
        "members": shown,
        "wanted": wanted,
        "roles": GIVEN_ROLES,
        "offer": offer_for(request.principal),
    }
    return render(request, "team/members.html", context)


def offer_for(principal: Principal) -> OwnershipOffer | None:
    try:
        return members.current_offer(principal)
    except NotFound:
        return None


@require_POST
@needs(Action.MEMBERS_CHANGE)
def change_role(request: WorkspaceRequest, user_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        members.change_role,
        principal=request.principal,
        user_id=user_id,
        role=_choice(request, "role", GIVEN_ROLES),
        done="Saved. The new role applies now.",
        back=place_url(request.principal, "members"),
    )


@require_POST
@needs(Action.MEMBERS_CHANGE)
def remove(request: WorkspaceRequest, user_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        members.remove_from_tenant,
        principal=request.principal,
        user_id=user_id,
        done="Member removed. They no longer have access.",
        back=place_url(request.principal, "members") if user_id != request.principal.user_id else "/",
    )


@require_POST
@needs(Action.OWNERSHIP_PASS)
def offer_ownership(request: WorkspaceRequest, user_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        members.offer_ownership,
        principal=request.principal,
        user_id=user_id,
        done="Ownership offered. The transfer takes effect when they accept.",
        back=place_url(request.principal, "members"),
    )


@require_POST
@needs(Action.OWNERSHIP_PASS)
def withdraw_offer(request: WorkspaceRequest, **place: str) -> HttpResponse:
    return act(
        request,
        members.withdraw_offer,
        principal=request.principal,
        done="Offer withdrawn.",
        back=place_url(request.principal, "members"),
    )


@require_POST
@needs(Action.OWNERSHIP_ACCEPT)
def accept_ownership(request: WorkspaceRequest, **place: str) -> HttpResponse:
    return act(
        request,
        members.accept_ownership,
        principal=request.principal,
        done="You are now the owner of this team.",
        back=place_url(request.principal, "members"),
    )


@require_http_methods(["GET", "POST"])
@needs(Action.INVITATIONS_VIEW, post=Action.INVITATIONS_CHANGE)
def invited(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """The open invitations, and the form that adds to them; a list of addresses is sorted out one by one."""
    form = InvitationForm(request.principal, request.POST or None)
    outcomes: list[invitations.Outcome] = []
    if request.method == "POST" and form.is_valid():
        wish = form.cleaned_data
        try:
            outcomes = invitations.invite_list(
                principal=request.principal,
                emails=wish["emails"],
                role=wish["role"],
                places=dict.fromkeys(wish["workspaces"], wish["place_role"]),
            )
        except DomainError as problem:
            blame(form, problem)
        else:
            sent = sum(outcome.invitation is not None for outcome in outcomes)
            form = InvitationForm(request.principal)  # again with what is still to be mended
            form.initial["emails"] = "\n".join(outcome.email for outcome in outcomes if outcome.problem)
            if sent == len(outcomes):
                messages.success(request, "Invitation sent." if sent == 1 else f"{sent} invitations sent.")
                return redirect(place_url(request.principal, "invitations"))
    refused = [outcome for outcome in outcomes if outcome.problem]
    shown = page_of(request, invitations.open_invitations(request.principal), newest_first=True)
    context = {
        "form": form,
        "invitations": shown,
        "refused": refused,
        "may_send": may_send(request.principal),
        "sent": len(outcomes) - len(refused),
    }
    return render(request, "team/invitations.html", context)


@require_POST
@needs(Action.INVITATIONS_CHANGE)
def resend(request: WorkspaceRequest, invitation_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        invitations.resend,
        principal=request.principal,
        invitation_id=invitation_id,
        done="Invitation sent again with a new link.",
        back=place_url(request.principal, "invitations"),
    )


@require_POST
@needs(Action.INVITATIONS_CHANGE)
def withdraw(request: WorkspaceRequest, invitation_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        invitations.revoke,
        principal=request.principal,
        invitation_id=invitation_id,
        done="Invitation withdrawn. Its link no longer works.",
        back=place_url(request.principal, "invitations"),
    )


@require_http_methods(["GET", "POST"])
@needs(Action.SERVICE_ACCOUNTS_VIEW, post=Action.SERVICE_ACCOUNTS_CHANGE)
def service_accounts(request: WorkspaceRequest, **place: str) -> HttpResponse:
    form = ServiceAccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            api_keys.create_service_account(principal=request.principal, **form.cleaned_data)
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, "Service account added. Create a key for it under Settings, API keys.")
            return redirect(place_url(request.principal, "service_accounts"))
    rows = page_of(request, api_keys.service_accounts_of(request.principal))
    return render(request, "team/service_accounts.html", {"form": form, "accounts": rows})


@require_POST
@needs(Action.SERVICE_ACCOUNTS_CHANGE)
def remove_service_account(request: WorkspaceRequest, user_id: UUID, **place: str) -> HttpResponse:
    return act(
        request,
        api_keys.remove_service_account,
        principal=request.principal,
        user_id=user_id,
        done="Service account removed. Its keys no longer work.",
        back=place_url(request.principal, "service_accounts"),
    )


def _choice(request: WorkspaceRequest, name: str, choices: list[tuple[str, Any]]) -> str:
    """What a select sent; what it never offered becomes the weakest."""
    sent = request.POST.get(name, "")
    return sent if any(sent == value for value, _ in choices) else str(choices[-1][0])
