"""The pages of invitations and invite links; the secret moves from the URL into the session."""

from collections.abc import Callable
from typing import Any, cast

from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login
from django import forms
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.errors import AddressUnverified, EmailTaken, InvitationInvalid
from accounts.models import Invitation, User
from accounts.page_helpers import add_errors
from accounts.page_urls import page_url
from accounts.sign_in.recovery import prove_by_mail
from accounts.sign_in.users import is_verified, send_verification
from accounts.teams import invitation_acceptance
from accounts.teams.inputs import Accept
from accounts.teams.invitations import find_invitation
from kit.errors import DomainError
from kit.inputs import form_field

INVITATION, LINK = "invitation", "workspace_link"  # keys of the session


class NewAccountForm(forms.Form):
    name = form_field(
        Accept,
        "name",
        label="Your name",
        required=True,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = form_field(
        Accept,
        "password",
        label="Password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


def _stores_token(name: str, page: str) -> Callable[..., HttpResponse]:
    @require_GET
    def store_token(request: HttpRequest, token: str) -> HttpResponse:
        """Removes the secret from the URL, which others may see and links pass on as the referrer."""
        request.session[name] = token[:300]
        answer = redirect(page)
        add_never_cache_headers(answer)
        return answer

    return store_token


take_invitation = _stores_token(INVITATION, "invitation")
take_link = _stores_token(LINK, "join")


@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest) -> HttpResponse:
    """Accepted by a button, or with a name and password for a new account."""
    token = str(request.session.get(INVITATION, ""))
    try:
        found = find_invitation(token)
        user = _user(request)
        if user is not None:
            return _with_account(request, token, found, user)
        return _with_new_account(request, token, found)
    except InvitationInvalid as problem:
        return _closed(request, problem)


def _with_account(request: HttpRequest, token: str, found: Invitation, user: User) -> HttpResponse:
    context = {
        "welcome": invitation_acceptance.welcome_of_invitation(token),
        "fits": user.email == found.email,
    }
    if request.method != "POST" or not context["fits"]:
        return _page(request, "arrivals/invitation.html", context)
    try:
        prove_by_mail(user)
    except EmailTaken as problem:
        return _closed(request, problem)
    principal = invitation_acceptance.accept_as(token=token, user=user)
    del request.session[INVITATION]
    return redirect(page_url(principal, "new_chat"))


def _with_new_account(request: HttpRequest, token: str, found: Invitation) -> HttpResponse:
    welcome = invitation_acceptance.welcome_of_invitation(token)
    form = NewAccountForm(request.POST or None)
    if request.method == "POST" and not welcome.has_account and form.is_valid():
        try:
            with transaction.atomic():
                user = _new_user(found, form)
                principal = invitation_acceptance.accept_as(token=token, user=user)
        except InvitationInvalid:
            raise
        except DomainError as problem:
            add_errors(form, problem)
        else:
            del request.session[INVITATION]
            return cast(
                "HttpResponse",
                perform_login(request, Login(user=user, redirect_url=page_url(principal, "new_chat"))),
            )
    return _page(request, "arrivals/invitation.html", {"welcome": welcome, "form": form})


def _new_user(found: Invitation, form: NewAccountForm) -> User:
    name, password = form.cleaned_data["name"], form.cleaned_data["password"]
    return invitation_acceptance.create_invited(found, password=password, name=name)


@require_http_methods(["GET", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """The workspace of an invite link; joined by a button, once the address is confirmed."""
    token = str(request.session.get(LINK, ""))
    user = _user(request)
    try:
        welcome = invitation_acceptance.welcome_of_link(token)
        if request.method == "POST" and user is not None:
            principal = invitation_acceptance.join_as(token=token, user=user)
            del request.session[LINK]
            return redirect(page_url(principal, "new_chat"))
    except AddressUnverified:
        return redirect("join")
    except InvitationInvalid as problem:
        return _closed(request, problem)
    proved = user is not None and is_verified(user)
    return _page(request, "arrivals/join.html", {"welcome": welcome, "proved": proved})


@require_POST
def prove_address(request: HttpRequest) -> HttpResponse:
    """Mails the link that confirms the user's address."""
    user = _user(request)
    if user is not None:
        send_verification(user)
    return redirect("join")


@require_POST
def other_person(request: HttpRequest) -> HttpResponse:
    """Signs out, but stays on the invitation or link."""
    tokens = {name: request.session[name] for name in (INVITATION, LINK) if name in request.session}
    logout(request)
    request.session.update(tokens)
    return redirect("invitation" if INVITATION in tokens else "join")


def is_joining(request: HttpRequest) -> bool:
    """Whether the person signing up has an invite link, and so needs no team of their own."""
    try:
        return bool(invitation_acceptance.welcome_of_link(str(request.session.get(LINK, ""))))
    except (InvitationInvalid, ValidationError):
        return False


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    answer = render(request, template, context, status=status)
    add_never_cache_headers(answer)
    return answer


def _closed(request: HttpRequest, problem: DomainError) -> HttpResponse:
    return _page(request, "arrivals/closed.html", {"problem": problem.text}, status=problem.status)
