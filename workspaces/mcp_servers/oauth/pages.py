"""Pages for signing in at MCP servers: the buttons, the OAuth callback and our client metadata document."""

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.models import User
from accounts.page_helpers import needs, problem_text
from accounts.page_urls import page_url
from accounts.policy import Action
from accounts.principals import Principal, find_in_or_above
from kit.errors import DomainError, Forbidden, NotFound
from workspaces.mcp_servers import services
from workspaces.mcp_servers.oauth.flow import CLOSED, Callback, SignedIn, split_state
from workspaces.mcp_servers.oauth.registration import client_document

CHAT = "chat"  # the page of a sign-in that began in the composer
SESSION_KEY = "mcp_callback"  # callback parameters of a browser that is not signed in yet
PARAMETERS = ("state", "code", "error", "iss")
LONGEST_PARAMETER = 8_000  # characters


@require_POST
@needs(Action.MCPS_SIGN_IN)
def sign_in(request: WorkspaceRequest, server: str, **route: str) -> HttpResponse:
    """Redirects to the authorization server."""
    page = CHAT if request.POST.get("page") == CHAT else ""
    try:
        url = services.begin_sign_in(principal=request.principal, slug=server, page=page)
    except (Forbidden, NotFound):
        raise
    except DomainError as problem:
        messages.error(request, problem_text(problem))
        return redirect(page_url(request.principal, "mcp_server", server=server))
    response = redirect(url)
    add_never_cache_headers(response)
    return response


@require_POST
@needs(Action.MCPS_SIGN_IN)
def sign_out(request: WorkspaceRequest, server: str, **route: str) -> HttpResponse:
    try:
        services.sign_out(principal=request.principal, slug=server)
    except NotFound as problem:
        messages.error(request, problem.text)
    else:
        messages.success(request, "Disconnected.")
    return redirect(page_url(request.principal, "mcp_server", server=server))


@require_GET
def document(request: HttpRequest) -> JsonResponse:
    """Our client metadata, for authorization servers that read it."""
    return JsonResponse(client_document())


@require_GET
def come_back(request: HttpRequest, mark: str = "") -> HttpResponse:
    """The OAuth callback; `mark` is the issuer's digest. A redirect removes code and state from the URL."""
    sent = {
        name: request.GET[name][:LONGEST_PARAMETER].replace("\0", "")
        for name in PARAMETERS
        if name in request.GET
    }
    if not isinstance(request.user, User):
        if any(split_state(sent.get("state", ""))):
            request.session[SESSION_KEY] = {**sent, "mark": mark}
        return redirect_to_login(request.path)
    if not sent:
        sent = request.session.pop(SESSION_KEY, {})
        mark = sent.get("mark", "")  # of the original callback, whatever the URL is now
    response = _finish(request, request.user, sent, mark)
    add_never_cache_headers(response)
    return response


def _finish(request: HttpRequest, user: User, sent: dict[str, str], issuer_digest: str) -> HttpResponse:
    tenant, workspace, secret = split_state(sent.get("state", ""))
    callback = Callback(
        code=sent.get("code", ""),
        error=sent.get("error", ""),
        issuer=sent.get("iss"),
        issuer_digest=issuer_digest,
    )
    try:
        principal = find_in_or_above(user_id=user.pk, tenant_slug=tenant, workspace_slug=workspace)
    except NotFound:
        return _closed(request)
    try:
        result = services.finish_sign_in(principal=principal, secret=secret, callback=callback)
    except NotFound:
        return _closed(request)
    except DomainError as problem:
        messages.error(request, problem.text)
        return redirect(page_url(principal, "mcp_servers") if principal.workspace_role else "/")
    return _signed_in(request, principal, result)


def _signed_in(request: HttpRequest, principal: Principal, result: SignedIn) -> HttpResponse:
    if result.problem:
        messages.warning(request, f"Signed in, but the tools could not be listed: {result.problem}")
    else:
        messages.success(request, f"Signed in to {result.slug}.")
    if not principal.workspace_role:  # began by REST without membership: only members see its pages
        return redirect("/")
    if result.page == CHAT:
        return redirect(page_url(principal, "new_chat"))
    return redirect(page_url(principal, "mcp_server", server=result.slug))


def _closed(request: HttpRequest) -> HttpResponse:
    return render(request, "arrivals/closed.html", {"problem": CLOSED}, status=404)
