"""The pages of a person's own account: profile, picture, sessions, keys, teams."""

from typing import Any, cast
from uuid import UUID

from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.keys import services as api_keys
from accounts.models import Membership, User
from accounts.page_helpers import act, form_page, problem_text
from accounts.sign_in import pictures
from accounts.sign_in import profile as own_profile
from accounts.sign_in.credential_changes import end_other_sessions
from accounts.sign_in.inputs import Profile
from accounts.sign_in.sessions import SessionsAdapter, listed_sessions
from accounts.sign_in.user_agents import device_of
from accounts.teams import members
from kit.errors import DomainError, InvalidInput
from kit.images import NewPicture
from kit.inputs import form_field, read_form


class ProfileForm(forms.Form):
    name = form_field(
        Profile,
        "name",
        label="Name",
        required=True,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    reply_language = form_field(Profile, "reply_language", label="Reply language", empty_value="")
    picture = forms.FileField(
        label="Picture", required=False, widget=forms.FileInput(attrs={"accept": "image/*"})
    )


@require_http_methods(["GET", "POST"])
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    initial = {"name": user.name, "reply_language": user.reply_language}
    form = ProfileForm(request.POST or None, request.FILES or None, initial=initial)
    return form_page(
        request,
        form,
        save=lambda: _save_profile(user, form),
        done="Saved.",
        back="profile",
        page=lambda: render(request, "account/profile.html", {"form": form}),
    )


def _save_profile(user: User, form: ProfileForm) -> None:
    upload = form.cleaned_data["picture"]
    made = _make_picture(user, upload.read()) if upload else None
    sent = read_form(Profile, form)
    with transaction.atomic():
        if made:
            pictures.set_picture(user=user, made=made)
        own_profile.change_profile(user=user, name=sent.name, reply_language=sent.reply_language)


def _make_picture(user: User, upload: bytes) -> NewPicture:
    try:
        return pictures.make_square(user_id=user.id, upload=upload)
    except DomainError as problem:
        raise InvalidInput(picture=[problem_text(problem)]) from problem


@require_POST
@login_required
def remove_picture(request: HttpRequest) -> HttpResponse:
    pictures.remove_picture(user=_user(request))
    return redirect("profile")


@require_GET
@login_required
def picture(request: HttpRequest, user_id: UUID, version: str) -> HttpResponse:
    """The URL changes with the picture, so a browser may cache it without end."""
    webp = pictures.picture_for(viewer_id=_user(request).id, user_id=user_id)
    if webp is None:
        raise Http404
    answer = HttpResponse(webp, content_type="image/webp")
    answer["Cache-Control"] = "private, max-age=31536000, immutable"
    return answer


@require_GET
@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    rows = listed_sessions(_user(request))
    for row in rows:
        row.device = device_of(row.user_agent)
    return render(request, "usersessions/usersession_list.html", {"sessions": rows})


@require_POST
@login_required
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    row = UserSession.objects.filter(user=_user(request), pk=session_id).first()
    if row is None:
        raise Http404
    SessionsAdapter().end_sessions([row])
    messages.success(request, "Session signed out.")
    return redirect("usersessions_list")


@require_POST
@login_required
def end_others(request: HttpRequest) -> HttpResponse:
    """Ends all other sessions, with apps and their tokens."""
    ended = end_other_sessions(_user(request))
    own_profile.end_all_tokens(user=_user(request), sessions=ended)
    messages.success(request, "Signed out everywhere else.")
    return redirect("usersessions_list")


@require_GET
@login_required
def own_keys(request: HttpRequest) -> HttpResponse:
    user_id = _user(request).id
    context = {
        "keys": api_keys.keys_of_person(user_id),
        "lost_keys": api_keys.keys_lost_in_recovery(user_id),
    }
    return render(request, "account/keys.html", context)


@require_POST
@login_required
def revoke_own_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    user = _user(request)
    return act(
        request,
        api_keys.revoke_own_key,
        user_id=user.id,
        key_id=key_id,
        done="Key revoked.",
        back="own_keys",
    )


@require_GET
@login_required
def teams(request: HttpRequest) -> HttpResponse:
    return render(request, "account/teams.html", {"memberships": members.memberships_of(_user(request).id)})


@require_POST
@login_required
def leave(request: HttpRequest, membership_id: UUID) -> HttpResponse:
    mine = Membership.objects.filter(user=_user(request)).select_related("tenant", "user")
    membership = mine.filter(id=membership_id).first()
    if membership is None:
        raise Http404
    return act(
        request,
        members.leave_by_membership,
        membership=membership,
        done=f"You have left {membership.tenant.name}.",
        back="own_teams",
    )


def _user(request: HttpRequest) -> User:
    return cast("User", cast("Any", request.user))  # every view here needs a login
