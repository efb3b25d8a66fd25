"""Coming in by a link: the secret goes from the address into the session, and the page has none in it."""

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
from accounts.page_helpers import blame
from accounts.page_urls import place_url
from accounts.sign_in.recovery import prove_by_mail
from accounts.sign_in.users import is_verified, send_verification
from accounts.teams import invitation_acceptance
from accounts.teams.invitations import accept, find_invitation
from kit.errors import DomainError

INVITATION, LINK = "invitation", "workspace_link"  # in the session: what brought somebody here


class NewcomerForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label="Password",
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


def _taken_in(name: str, page: str) -> Callable[..., HttpResponse]:
    @require_GET
    def take_in(request: HttpRequest, token: str) -> HttpResponse:
        """Leaves no secret in the address, where others could see it or a link would hand it on."""
        request.session[name] = token[:300]
        answer = redirect(page)
        add_never_cache_headers(answer)
        return answer

    return take_in


take_invitation = _taken_in(INVITATION, "invitation")
take_link = _taken_in(LINK, "join")


@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest) -> HttpResponse:
    """What is opened and for whom; accepted by a button, or by a newcomer's name and password."""
    token = str(request.session.get(INVITATION, ""))
    try:
        found = find_invitation(token)
        person = _person(request)
        if person is not None:
            return _as_person(request, token, found, person)
        return _as_newcomer(request, token, found)
    except InvitationInvalid as problem:
        return _closed(request, problem)


def _as_person(request: HttpRequest, token: str, found: Invitation, person: User) -> HttpResponse:
    context = {
        "welcome": invitation_acceptance.welcome_of_invitation(token),
        "fits": person.email == found.email,
    }
    if request.method != "POST" or not context["fits"]:
        return _page(request, "arrivals/invitation.html", context)
    try:
        prove_by_mail(person)
    except EmailTaken as problem:
        return _closed(request, problem)
    place = invitation_acceptance.place_of_invitation(accept(token=token, user=person), person)
    del request.session[INVITATION]
    return redirect(place_url(place, "new_chat"))


def _as_newcomer(request: HttpRequest, token: str, found: Invitation) -> HttpResponse:
    welcome = invitation_acceptance.welcome_of_invitation(token)
    form = NewcomerForm(request.POST or None)
    if request.method == "POST" and not welcome.has_account and form.is_valid():
        try:
            with transaction.atomic():
                person = invitation_acceptance.newcomer(found, **form.cleaned_data)
                place = invitation_acceptance.place_of_invitation(accept(token=token, user=person), person)
        except InvitationInvalid:
            raise
        except DomainError as problem:
            blame(form, problem)
        else:
            del request.session[INVITATION]
            return cast(
                "HttpResponse",
                perform_login(request, Login(user=person, redirect_url=place_url(place, "new_chat"))),
            )
    return _page(request, "arrivals/invitation.html", {"welcome": welcome, "form": form})


@require_http_methods(["GET", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """What a workspace's link opens; one comes in by a button, once one's address is confirmed."""
    token = str(request.session.get(LINK, ""))
    person = _person(request)
    try:
        welcome = invitation_acceptance.welcome_of_link(token)
        if request.method == "POST" and person is not None:
            place = invitation_acceptance.join_as(token=token, user=person)
            del request.session[LINK]
            return redirect(place_url(place, "new_chat"))
    except AddressUnverified:
        return redirect("join")
    except InvitationInvalid as problem:
        return _closed(request, problem)
    proved = person is not None and is_verified(person)
    return _page(request, "arrivals/join.html", {"welcome": welcome, "proved": proved})


@require_POST
def prove_address(request: HttpRequest) -> HttpResponse:
    """Mails the link that confirms one's address."""
    person = _person(request)
    if person is not None:
        send_verification(person)
    return redirect("join")


@require_POST
def other_person(request: HttpRequest) -> HttpResponse:
    """Signs out, and keeps what brought one here."""
    kept = {name: request.session[name] for name in (INVITATION, LINK) if name in request.session}
    logout(request)
    request.session.update(kept)
    return redirect("invitation" if INVITATION in kept else "join")


def is_joining(request: HttpRequest) -> bool:
    """Whether somebody who signs up came by a workspace's link, and so needs no team of their own."""
    try:
        return bool(invitation_acceptance.welcome_of_link(str(request.session.get(LINK, ""))))
    except (InvitationInvalid, ValidationError):
        return False


def _person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    answer = render(request, template, context, status=status)
    add_never_cache_headers(answer)
    return answer


def _closed(request: HttpRequest, problem: DomainError) -> HttpResponse:
    return _page(request, "arrivals/closed.html", {"problem": problem.text}, status=problem.status)
