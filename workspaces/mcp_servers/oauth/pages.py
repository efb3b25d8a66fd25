"""The pages of signing in at MCP servers: the button that leads there, and where a browser comes back."""

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import User
from accounts.page_helpers import needs, told
from accounts.page_urls import place_url
from accounts.policy import Action
from accounts.principals import find_in_or_above
from kit.errors import DomainError, Forbidden, NotFound
from workspaces.mcp_servers.oauth.flow import (
    CLOSED,
    Back,
    begin_sign_in,
    finish_sign_in,
    forget_sign_in,
    split_state,
)
from workspaces.mcp_servers.oauth.metadata import client_document

CHAT = "chat"  # where somebody began who comes from the composer
CAME_BACK = "mcp_callback"  # in the session: with what somebody came back who is not signed in
PARAMETERS = ("state", "code", "error", "iss")
LONGEST = 8_000  # characters of one of them


@require_POST
@needs(Action.MCPS_SIGN_IN)
def sign_in(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    """On to the server's own page."""
    page = CHAT if request.POST.get("page") == CHAT else ""
    connection.close()
    try:
        address = async_to_sync(begin_sign_in)(principal=request.principal, slug=server, page=page)
    except (Forbidden, NotFound):
        raise
    except DomainError as problem:
        messages.error(request, told(problem))
        return redirect(place_url(request.principal, "mcp_server", server=server))
    answer = redirect(address)
    add_never_cache_headers(answer)
    return answer


@require_POST
@needs(Action.MCPS_SIGN_IN)
def sign_out(request: WorkspaceRequest, server: str, **place: str) -> HttpResponse:
    connection.close()
    try:
        async_to_sync(forget_sign_in)(principal=request.principal, slug=server)
    except NotFound as problem:
        messages.error(request, problem.text)
    else:
        messages.success(request, "Disconnected.")
    return redirect(place_url(request.principal, "mcp_server", server=server))


@require_GET
def document(request: HttpRequest) -> JsonResponse:
    """Who we are, for authorization servers that read it."""
    return JsonResponse(client_document())


@require_GET
def come_back(request: HttpRequest, mark: str = "") -> HttpResponse:
    """Where authorization servers send the browser; what they send along leaves the address at once."""
    sent = {name: request.GET[name][:LONGEST].replace("\0", "") for name in PARAMETERS if name in request.GET}
    if not isinstance(request.user, User):
        if any(split_state(sent.get("state", ""))):
            request.session[CAME_BACK] = {**sent, "mark": mark}
        return redirect_to_login(request.path)
    if not sent:
        sent = request.session.pop(CAME_BACK, {})
        mark = sent.get("mark", "")  # where it came to then, whatever address is open now
    answer = _finish(request, request.user, sent, mark)
    add_never_cache_headers(answer)
    return answer


def _finish(request: HttpRequest, user: User, sent: dict[str, str], mark: str) -> HttpResponse:
    tenant, workspace, secret = split_state(sent.get("state", ""))
    back = Back(code=sent.get("code", ""), error=sent.get("error", ""), issuer=sent.get("iss"), mark=mark)
    try:
        principal = find_in_or_above(user_id=user.pk, tenant_slug=tenant, workspace_slug=workspace)
    except NotFound:
        return _closed(request)
    connection.close()
    try:
        done = async_to_sync(finish_sign_in)(principal=principal, secret=secret, back=back)
    except NotFound:
        return _closed(request)
    except DomainError as problem:
        messages.error(request, problem.text)
        return redirect(place_url(principal, "mcp_servers") if principal.workspace_role else "/")
    if done.problem:
        messages.warning(request, f"Signed in, but the tools could not be listed: {done.problem}")
    else:
        messages.success(request, f"Signed in to {done.slug}.")
    if not principal.workspace_role:  # from above it, by REST: its pages are its members' alone
        return redirect("/")
    if done.page == CHAT:
        return redirect(place_url(principal, "new_chat"))
    return redirect(place_url(principal, "mcp_server", server=done.slug))


def _closed(request: HttpRequest) -> HttpResponse:
    return render(request, "arrivals/closed.html", {"problem": CLOSED}, status=404)
