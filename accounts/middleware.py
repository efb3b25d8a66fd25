"""The web's only door into a tenant: `/t/<tenant>/w/<workspace>/…` checks the member, enters the schema."""

import re
from collections.abc import Callable
from typing import cast

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse

from accounts import audit
from accounts.models import User
from accounts.principals import Principal, find_principal
from kit.tenancy import tenant_scope

# The same signs as the `slug` converter in the routes: whatever they match, this has checked.
PLACE = re.compile(r"^/t/(?P<tenant>[-a-zA-Z0-9_]+)/w/(?P<workspace>[-a-zA-Z0-9_]+)/")


class WorkspaceRequest(HttpRequest):
    """What the pages of a workspace receive."""

    principal: Principal


LAST_PLACE = "last_place"  # in the session: tenant and workspace slugs


def remember_place(request: HttpRequest, principal: Principal) -> None:
    """The root leads back to where one was; going elsewhere is a switch, and audited as such."""
    here = [principal.tenant.slug, principal.workspace.slug]
    before = request.session.get(LAST_PLACE)
    if before == here:
        return
    request.session[LAST_PLACE] = here
    if before is not None:
        audit.record("user.switched", principal=principal, target="/".join(here), via="web")


class WorkspaceMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        place = PLACE.match(request.path_info)
        if place is None:
            return self.get_response(request)
        user = request.user
        if not isinstance(user, User):
            return redirect_to_login(request.get_full_path())
        principal = find_principal(
            user_id=user.pk, tenant_slug=place["tenant"], workspace_slug=place["workspace"]
        )
        if principal is None:
            raise Http404
        cast("WorkspaceRequest", request).principal = principal
        remember_place(request, principal)
        with tenant_scope(principal.tenant):
            return self.get_response(request)
