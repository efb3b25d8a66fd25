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
from accounts.policy import Action, expect
from kit.errors import DomainError, Forbidden, NotFound

View = Callable[..., HttpResponseBase]
ROLES = ("owner", "admin", "member", "manager", "editor")


def needs(action: Action) -> Callable[[View], View]:
    """A view of a workspace for whoever may do this; others are told who can grant it."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: WorkspaceRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            def work() -> HttpResponseBase:
                expect(request.principal, action)
                return view(request, *args, **kwargs)

            return answered(request, work)

        return guarded

    return decorate


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
    allowed = [
        role for role in ("owner", "admin", "member", "manager", "editor") if role in _allowed(problem)
    ]
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
