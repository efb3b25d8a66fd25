"""The settings of one workspace: its name, members, invite link, and how it ends."""

from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import Membership, Tenant, Workspace, WorkspaceLink, WorkspaceMember
from accounts.page_helpers import Guard, View, answered, button, declared, form_page, needed, save_form
from accounts.page_urls import page_url
from accounts.pagination import page_of
from accounts.policy import Action, Permissions, expect, may
from accounts.principals import Principal, over_workspace
from accounts.teams import workspace_links, workspaces
from accounts.teams.inputs import LinkInput, WorkspaceChange
from kit.errors import Forbidden, InvalidInput, NotFound
from kit.inputs import form_field, read_form

MOST_OFFERED = 200  # people in the select that adds one; the page of members finds the others


class NameForm(forms.Form):
    name = form_field(WorkspaceChange, "name", label="Name", required=True)


class LinkForm(forms.Form):
    role = form_field(LinkInput, "role", label="Join as", required=True)
    most_uses = form_field(LinkInput, "most_uses", label="Uses", required=True)
    days = form_field(LinkInput, "days", label="Days", required=True)


def needs_in_named(action: Action, *, post: Action | None = None, own: Action | None = None) -> Guard:
    """As `needs`, but of the workspace named in the URL: the view gets the principal in or over it.

    `own` is the right needed instead if the URL names the person themselves.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: WorkspaceRequest, slug: str, **arguments: Any) -> HttpResponseBase:
            def work() -> HttpResponseBase:
                principal = over_workspace(request.principal, slug)
                is_own = own is not None and arguments.get("user_id") == principal.user_id
                expect(principal, own if own and is_own else needed(request, action, post))
                return view(request, principal, **arguments)

            return answered(request, work)

        return declared(guarded, action, post)

    return decorate


@require_http_methods(["GET", "POST"])
@needs_in_named(Action.WORKSPACE_VIEW, post=Action.WORKSPACE_CHANGE)
def workspace(request: WorkspaceRequest, principal: Principal, **slugs: str) -> HttpResponse:
    form = NameForm(request.POST or None, initial={"name": workspaces.find_workspace(principal).name})
    return form_page(
        request,
        form,
        save=lambda: workspaces.change_workspace(
            principal=principal, change=read_form(WorkspaceChange, form)
        ),
        done="Saved.",
        back=_url(request, principal.workspace.slug),
        page=lambda: _page(request, principal, {"form": form}),
    )


def _page(request: WorkspaceRequest, principal: Principal, more: dict[str, Any]) -> HttpResponse:
    row = workspaces.find_workspace(principal)
    context = {
        "workspace": row,
        "is_default": Tenant.objects.filter(id=principal.tenant.id, default_workspace=row).exists(),
        "can_here": Permissions(principal),
        "members": page_of(request, workspaces.members_of_workspace(principal)),
        "roles": WorkspaceMember.Role.choices,
        "others": _others(principal),
        "link": _link(principal),
        "link_form": LinkForm(),
        "own_role": principal.workspace_role,
        "form": NameForm(initial={"name": row.name}),
        **more,
    }
    answer = render(request, "settings/workspace.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


def _others(principal: Principal) -> list[Membership]:
    """Members of the team who are not in the workspace, for people who may add them."""
    if not may(principal, Action.WORKSPACE_MEMBERS):
        return []
    inside = WorkspaceMember.objects.filter(workspace=principal.workspace.id).values("user")
    rest = Membership.objects.of_tenant(principal.tenant.id).exclude(user__in=inside)
    return list(rest.order_by("user__name", "id")[:MOST_OFFERED])


def _link(principal: Principal) -> WorkspaceLink | None:
    try:
        return workspace_links.current_link(principal)
    except (Forbidden, NotFound):
        return None


@require_POST
@needs_in_named(Action.WORKSPACE_LINK)
def open_link(request: WorkspaceRequest, principal: Principal, **slugs: str) -> HttpResponse:
    """Only this response contains the link."""
    form = LinkForm(request.POST)

    def create() -> workspace_links.NewLink:
        return workspace_links.open_link(principal=principal, link=read_form(LinkInput, form))

    made = save_form(form, create)
    return _page(request, principal, {"link_form": form, "made": made[0] if made else None})


def _own_page(request: WorkspaceRequest, principal: Principal, **arguments: Any) -> str:
    return _url(request, principal.workspace.slug)


def _open_page(request: WorkspaceRequest, principal: Principal, **arguments: Any) -> str:
    """The home page, if the current workspace has just been closed."""
    is_open = Workspace.objects.open().filter(id=principal.workspace.id).exists()
    is_current = principal.workspace == request.principal.workspace
    return "/" if is_current and not is_open else _own_page(request, principal)


def _page_after_removal(request: WorkspaceRequest, principal: Principal, user_id: UUID) -> str:
    """The home page for a person who has left the current workspace."""
    is_current = principal.workspace == request.principal.workspace
    return "/" if is_current and user_id == principal.user_id else _own_page(request, principal)


def _member_input(request: WorkspaceRequest, principal: Principal) -> dict[str, Any]:
    try:
        user_id = UUID(request.POST.get("user", ""))
    except ValueError as exc:
        raise InvalidInput(user=["Choose a member."]) from exc
    role = request.POST.get("role", "")
    known = role in WorkspaceMember.Role.values
    return {"user_id": user_id, "role": role if known else WorkspaceMember.Role.VIEWER.value}


def _typed_slug(request: WorkspaceRequest, principal: Principal) -> dict[str, Any]:
    """Typed by hand, because nothing restores the content after the grace period."""
    if request.POST.get("typed", "").strip() != principal.workspace.slug:
        raise InvalidInput(typed=[f"Type {principal.workspace.slug} to delete it."])
    return {}


def _url(request: WorkspaceRequest, slug: str) -> str:
    return page_url(request.principal, "workspace_settings", slug=slug)


put_member = button(
    needs_in_named(Action.WORKSPACE_MEMBERS),
    workspaces.add_member,
    reads=_member_input,
    done="Saved. The new role applies now.",
    back=_own_page,
)
remove_member = button(
    needs_in_named(Action.WORKSPACE_MEMBERS, own=Action.WORKSPACE_LEAVE),
    workspaces.remove_from_workspace,
    done="Done.",
    back=_page_after_removal,
)
close_link = button(
    needs_in_named(Action.WORKSPACE_LINK),
    workspace_links.close_link,
    done="The link no longer works.",
    back=_own_page,
)
make_default = button(
    needs_in_named(Action.TENANT_CHANGE),
    workspaces.choose_default,
    done="New members now join this workspace by default.",
    back=_own_page,
)
archive = button(
    needs_in_named(Action.WORKSPACE_CHANGE),
    workspaces.archive,
    done="Workspace archived. You can restore it.",
    back=_open_page,
)
restore = button(
    needs_in_named(Action.WORKSPACE_RESTORE),
    workspaces.restore,
    done="Workspace restored with all its members.",
    back=_own_page,
)
delete = button(
    needs_in_named(Action.WORKSPACE_DELETE),
    workspaces.delete,
    reads=_typed_slug,
    done="Workspace deleted. You can restore it until the grace period ends.",
    back=_open_page,
)
