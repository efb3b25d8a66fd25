"""What pages share: a right checked before the view runs, and one service run for a button or a form."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_urls import page_url
from accounts.policy import ADMIN, EDITOR, MANAGER, MEMBER, OWNER, SAFE_METHODS, Action, expect
from kit.errors import DomainError, Forbidden, NotFound

View = Callable[..., HttpResponseBase]
Guard = Callable[[View], View]
Saved = TypeVar("Saved")
SUGGESTED_ROLES = (OWNER, ADMIN, MEMBER, MANAGER, EDITOR)  # in this order on the page that refuses


def needs(action: Action, *, post: Action | None = None) -> Guard:
    """Guards a page of the current workspace; `post` is the right to send its form, if it differs."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: WorkspaceRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            def work() -> HttpResponseBase:
                expect(request.principal, needed(request, action, post))
                return view(request, *args, **kwargs)

            return answered(request, work)

        return declared(guarded, action, post)

    return decorate


def needed(request: WorkspaceRequest, action: Action, post: Action | None) -> Action:
    """The right that this request needs: `post`, if given, to write, else `action`."""
    return action if post is None or request.method in SAFE_METHODS else post


def declared(view: View, action: Action, post: Action | None) -> View:
    """The view with a `policy` by method, as REST views have one."""
    view.policy = {"GET": action, "POST": post or action}  # type: ignore[attr-defined]
    return view


def answered(request: WorkspaceRequest, work: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The response of `work`; Forbidden becomes the page that explains it, NotFound a 404."""
    try:
        return work()
    except Forbidden as problem:
        return forbidden(request, problem)
    except NotFound as problem:
        raise Http404 from problem


def forbidden(request: WorkspaceRequest, problem: Forbidden) -> HttpResponse:
    """In the frame, with the roles that have access."""
    allowed = [role for role in SUGGESTED_ROLES if role in problem.details.get("allowed", [])]
    named = " or ".join([", ".join(allowed[:-1]), allowed[-1]]) if len(allowed) > 1 else "".join(allowed)
    return render(request, "settings/forbidden.html", {"problem": problem.text, "allowed": named}, status=403)


def button(
    guard: Guard,
    service: Callable[..., Any],
    *,
    done: str | Callable[..., str],
    back: str | Callable[..., str],
    reads: Callable[..., dict[str, Any]] | None = None,
) -> View:
    """A POST-only view that runs one service, shows its outcome and goes back.

    The service gets `principal` and the URL's arguments, or what `reads(request, principal, **arguments)`
    makes of them, which may refuse by InvalidInput. `back` is a page's name, or gets the same and returns a
    URL, after the service ran. The principal is the request's, unless the guard passes another one on.
    """

    @require_POST
    @guard
    def press(request: WorkspaceRequest, *passed_on: Any, **arguments: Any) -> HttpResponse:
        principal = passed_on[0] if passed_on else request.principal
        arguments = {name: value for name, value in arguments.items() if name not in {"tenant", "workspace"}}

        def work() -> None:
            wanted = reads(request, principal, **arguments) if reads else arguments
            service(principal=principal, **wanted)

        flash(request, work, done=done(request, principal, **arguments) if callable(done) else done)
        back_url = back(request, principal, **arguments) if callable(back) else page_url(principal, back)
        return redirect(back_url)

    return press


def flash(request: HttpRequest, work: Callable[[], Any], *, done: str) -> None:
    """Runs `work`; the next page shows `done`, or why it was refused."""
    try:
        work()
    except DomainError as problem:
        messages.error(request, problem_text(problem))
    else:
        messages.success(request, done)


def act(
    request: HttpRequest, service: Callable[..., Any], *, done: str, back: str, **wanted: Any
) -> HttpResponse:
    """Runs a service, shows its outcome and redirects; for a view that cannot be a `button`."""
    flash(request, lambda: service(**wanted), done=done)
    return redirect(back)


def form_page(
    request: HttpRequest,
    form: forms.Form,
    *,
    save: Callable[[], Saved],
    done: str | Callable[[Saved], str],
    back: str | Callable[[Saved], str],
    page: Callable[[], HttpResponse],
) -> HttpResponse:
    """Saves a valid form and redirects to `back`; otherwise draws `page`, with the errors in the form."""
    if request.method == "POST":
        saved = save_form(form, save)
        if saved is not None:
            messages.success(request, done(*saved) if callable(done) else done)
            return redirect(back(*saved) if callable(back) else back)
    return page()


def save_form(form: forms.Form, save: Callable[[], Saved]) -> tuple[Saved] | None:
    """The result of `save` in a tuple, because it may be None; None if the form or the service refused."""
    if not form.is_valid():
        return None
    try:
        return (save(),)
    except DomainError as problem:
        add_errors(form, problem)
        return None


def problem_text(problem: DomainError) -> str:
    """For people: the text about a field says more than that some field is wrong."""
    first = next((texts[0] for texts in problem.details.values() if isinstance(texts, list) and texts), "")
    return str(first) if problem.status == 422 and first else problem.text


def add_errors(form: forms.Form, problem: DomainError) -> None:
    """Adds the service's refusal to the field that it names, or above the form."""
    named = {name: texts for name, texts in problem.details.items() if name in form.fields and texts}
    if problem.status != 422 or not named:
        form.add_error(None, problem_text(problem))
        return
    for name, texts in named.items():
        form.add_error(name, texts)
