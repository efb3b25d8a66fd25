"""One workspace's settings: its name, who is in it, its link for newcomers, its end."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import Membership, Tenant, Workspace, WorkspaceLink, WorkspaceMember
from accounts.page_helpers import act, answered, blame, declared, needed
from accounts.page_urls import place_url
from accounts.pagination import page_of
from accounts.policy import Action, Permissions, expect, may
from accounts.principals import Principal, over_workspace
from accounts.teams import workspace_links
from accounts.teams import workspaces as rooms
from kit.errors import DomainError, Forbidden, NotFound

LINK_ROLES = [choice for choice in WorkspaceMember.Role.choices if choice[0] != WorkspaceMember.Role.MANAGER]
MOST_OFFERED = 200  # people in the select that adds one; who is not in it is found on the page of members


class NameForm(forms.Form):
    name = forms.CharField(label="Name", max_length=100)


class LinkForm(forms.Form):
    role = forms.ChoiceField(label="Join as", choices=LINK_ROLES, initial=WorkspaceMember.Role.EDITOR)
    most_uses = forms.IntegerField(label="Uses", min_value=1, max_value=1000, initial=25)
    days = forms.IntegerField(label="Days", min_value=1, max_value=30, initial=7)


View = Callable[..., HttpResponseBase]


def of_room(
    action: Action, *, post: Action | None = None, own: Action | None = None
) -> Callable[[View], View]:
    """A view of the workspace that the address names, which one is in or over; `post` as in `needs`.

    `own` is what it takes where the address names the person themselves.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: WorkspaceRequest, slug: str, **place: Any) -> HttpResponseBase:
            def work() -> HttpResponseBase:
                there = over_workspace(request.principal, slug)
                is_own = own is not None and place.get("user_id") == there.user_id
                expect(there, own if own and is_own else needed(request, action, post))
                return view(request, there, **place)

            return answered(request, work)

        return declared(guarded, action, post)

    return decorate


@require_http_methods(["GET", "POST"])
@of_room(Action.WORKSPACE_VIEW, post=Action.WORKSPACE_CHANGE)
def room(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    row = rooms.find_workspace(there)
    form = NameForm(request.POST or None, initial={"name": row.name})
    if request.method == "POST" and form.is_valid():
        try:
            rooms.change_workspace(principal=there, name=form.cleaned_data["name"])
        except DomainError as problem:
            blame(form, problem)
        else:
            messages.success(request, "Saved.")
            return redirect(_url(request, there))
    return _room_page(request, there, {"form": form})


def _room_page(request: WorkspaceRequest, there: Principal, more: dict[str, Any]) -> HttpResponse:
    row = rooms.find_workspace(there)
    is_default = Tenant.objects.filter(id=there.tenant.id, default_workspace=row).exists()
    context = {
        "room": row,
        "is_default": is_default,
        "there": Permissions(there),
        "members": page_of(request, rooms.members_here(there)),
        "roles": WorkspaceMember.Role.choices,
        "others": _others(there),
        "link": _link(there),
        "link_form": LinkForm(),
        "own_role": there.workspace_role,
        "form": NameForm(initial={"name": row.name}),
        **more,
    }
    answer = render(request, "settings/workspace.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


def _others(there: Principal) -> list[Membership]:
    """Members of the team who are not in the workspace, for who may take them in."""
    if not may(there, Action.WORKSPACE_MEMBERS):
        return []
    inside = WorkspaceMember.objects.filter(workspace=there.workspace.id).values("user")
    rest = Membership.objects.filter(tenant=there.tenant.id).exclude(user__in=inside)
    return list(rest.select_related("user").order_by("user__name", "id")[:MOST_OFFERED])


def _link(there: Principal) -> WorkspaceLink | None:
    try:
        return workspace_links.current_link(there)
    except (Forbidden, NotFound):
        return None


@require_POST
@of_room(Action.WORKSPACE_MEMBERS)
def put_member(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    try:
        user_id = UUID(request.POST.get("user", ""))
    except ValueError:
        messages.error(request, "Choose a member.")
        return redirect(_url(request, there))
    role = request.POST.get("role", "")
    return act(
        request,
        rooms.add_member,
        principal=there,
        user_id=user_id,
        role=role if role in WorkspaceMember.Role.values else WorkspaceMember.Role.VIEWER.value,
        done="Saved. The new role applies now.",
        back=_url(request, there),
    )


@require_POST
@of_room(Action.WORKSPACE_MEMBERS, own=Action.WORKSPACE_LEAVE)
def remove_member(request: WorkspaceRequest, there: Principal, user_id: UUID, **place: str) -> HttpResponse:
    """Somebody else, or oneself: then the way leads to where one still is."""
    leaves_here = user_id == request.principal.user_id and there.workspace == request.principal.workspace
    return act(
        request,
        rooms.remove_from_workspace,
        principal=there,
        user_id=user_id,
        done="Done.",
        back="/" if leaves_here else _url(request, there),
    )


@require_POST
@of_room(Action.WORKSPACE_LINK)
def open_link(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    """The link is in this answer and nowhere else."""
    form, made = LinkForm(request.POST), None
    if form.is_valid():
        try:
            made = workspace_links.open_link(principal=there, **form.cleaned_data)
        except DomainError as problem:
            blame(form, problem)
    return _room_page(request, there, {"link_form": form, "made": made})


@require_POST
@of_room(Action.WORKSPACE_LINK)
def close_link(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    return _act(request, there, workspace_links.close_link, "The link no longer works.")


@require_POST
@of_room(Action.TENANT_CHANGE)
def make_default(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    return _act(request, there, rooms.choose_default, "New members now join this workspace by default.")


@require_POST
@of_room(Action.WORKSPACE_CHANGE)
def archive(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    return _act(request, there, rooms.archive, "Workspace archived. You can restore it.", closes=True)


@require_POST
@of_room(Action.WORKSPACE_RESTORE)
def restore(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    return _act(request, there, rooms.restore, "Workspace restored with all its members.")


@require_POST
@of_room(Action.WORKSPACE_DELETE)
def delete(request: WorkspaceRequest, there: Principal, **place: str) -> HttpResponse:
    """Typed out: once the grace is over nothing brings it back."""
    if request.POST.get("typed", "").strip() != there.workspace.slug:
        messages.error(request, f"Type {there.workspace.slug} to delete it.")
        return redirect(_url(request, there))
    done = "Workspace deleted. You can restore it until the grace period ends."
    return _act(request, there, rooms.delete, done, closes=True)


def _act(
    request: WorkspaceRequest,
    there: Principal,
    service: Callable[..., Any],
    done: str,
    *,
    closes: bool = False,
) -> HttpResponse:
    """Whoever closes the workspace that they stand in goes on elsewhere."""
    back = _url(request, there)
    answer = act(request, service, principal=there, done=done, back=back)
    stands_there = there.workspace == request.principal.workspace
    is_open = Workspace.objects.filter(id=there.workspace.id, archived_at=None).exists()
    return redirect("/") if closes and stands_there and not is_open else answer


def _url(request: WorkspaceRequest, there: Principal) -> str:
    return place_url(request.principal, "workspace_settings", slug=there.workspace.slug)
