"""What the pages have in common: a right asked before a view runs, a service run and its outcome told."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from accounts.middleware import WorkspaceRequest
from accounts.policy import SAFE_METHODS, Action, expect
from kit.errors import DomainError, Forbidden, NotFound

View = Callable[..., HttpResponseBase]
ROLES = ("owner", "admin", "member", "manager", "editor")


def needs(action: Action, *, post: Action | None = None) -> Callable[[View], View]:
    """A view of a workspace for anyone who may do this; others are told who can grant it.

    `post` is what sending its form takes, where that is more than looking at it.
    """

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
    """What this request takes of a page that is guarded by `action`, its form by `post`."""
    return action if post is None or request.method in SAFE_METHODS else post


def declared(view: View, action: Action, post: Action | None) -> View:
    """The view with its `policy`, as REST views have one: what reading takes, and what writing does."""
    view.policy = {"GET": action, "POST": post or action}  # type: ignore[attr-defined]
    return view


def answered(request: WorkspaceRequest, work: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """What `work` answers; a refusal's page where it is refused, and 404 for what is not there."""
    try:
        return work()
    except Forbidden as problem:
        return forbidden(request, problem)
    except NotFound as problem:
        raise Http404 from problem


def forbidden(request: WorkspaceRequest, problem: Forbidden) -> HttpResponse:
    """In the frame, with the roles that would do."""
    allowed = [role for role in ROLES if role in _allowed(problem)]
    named = " or ".join([", ".join(allowed[:-1]), allowed[-1]]) if len(allowed) > 1 else "".join(allowed)
    return render(request, "settings/forbidden.html", {"problem": problem.text, "allowed": named}, status=403)


def _allowed(problem: Forbidden) -> list[str]:
    return [str(role) for role in problem.details.get("allowed", [])]


def act(request: Any, service: Callable[..., Any], *, done: str, back: str, **kwargs: Any) -> HttpResponse:
    """Runs what a button asks for, says what came of it, and goes back."""
    try:
        service(**kwargs)
    except DomainError as problem:
        messages.error(request, told(problem))
    else:
        messages.success(request, done)
    return redirect(back)


def told(problem: DomainError) -> str:
    """For people: what is wrong with a field says more than that some field is wrong."""
    first = next((texts[0] for texts in problem.details.values() if isinstance(texts, list) and texts), "")
    return str(first) if problem.status == 422 and first else problem.text


def blame(form: forms.Form, problem: DomainError) -> None:
    """Puts what a service refused at the field that it is about, or above the form."""
    named = {name: texts for name, texts in problem.details.items() if name in form.fields and texts}
    if problem.status != 422 or not named:
        form.add_error(None, told(problem))
        return
    for name, texts in named.items():
        form.add_error(name, texts)
