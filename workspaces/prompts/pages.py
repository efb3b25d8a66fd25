"""The pages of prompts: the library, a prompt with its versions, its form, and JSON for the composer."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import add_errors, button, needs, problem_text
from accounts.page_urls import page_url
from accounts.pagination import page_of, searched
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import DomainError, InvalidInput
from kit.fields import plain_lines
from workspaces.diffs import shown_diff
from workspaces.prompts import queries, services
from workspaces.prompts.forms import (
    PromptForm,
    Row,
    new_rows,
    rows_of,
    sent_rows,
    typed_value,
    variables_from,
)
from workspaces.prompts.models import Prompt
from workspaces.prompts.render import TYPES

OFFERED = 8  # prompts in the composer's list
VERSIONS_SHOWN = 50


@require_GET
@needs(Action.PROMPTS_VIEW)
def prompts(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """The library, filtered by a search, a tag or favourites."""
    tag = request.GET.get("tag", "").replace("\0", "")[:40]
    liked = request.GET.get("liked") == "1"
    find = searched(request)
    rows = queries.listed_prompts(principal=request.principal, find=find, tag=tag, favourites=liked)
    shown = page_of(request, rows, moment="updated_at", newest_first=True)
    context = {"prompts": shown, "find": find, "tag": tag, "liked": liked}
    return render(request, "prompts/list.html", context)


@require_http_methods(["GET", "POST"])
@needs(Action.PROMPTS_CHANGE)
def new(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    form, rows = PromptForm(request.POST or None), sent_rows(request.POST)

    def create() -> Prompt:
        prompt = form.prompt(variables_from(rows))
        return services.create_prompt(principal=request.principal, prompt=prompt)

    return _save_form(request, form, create) or _form_page(request, form, rows, None)


@require_http_methods(["GET", "POST"])
@needs(Action.PROMPTS_CHANGE)
def edit(request: WorkspaceRequest, prompt: str, **slugs: str) -> HttpResponse:
    row = queries.find_prompt(principal=request.principal, slug=prompt)
    services.require_change(request.principal, row)
    initial = {name: getattr(row, name) for name in ("title", "slug", "description", "text", "visibility")}
    form = PromptForm(request.POST or None, initial={**initial, "tags": ", ".join(row.tags)})
    form.fields["slug"].required = False
    rows = sent_rows(request.POST) if request.method == "POST" else rows_of(row.variables)

    def change() -> Prompt:
        change = form.change(variables_from(rows, row.variables))
        return services.change_prompt(principal=request.principal, slug=str(row.id), change=change)

    return _save_form(request, form, change) or _form_page(request, form, rows, row)


def _save_form(
    request: WorkspaceRequest, form: PromptForm, save: Callable[[], Prompt]
) -> HttpResponse | None:
    """Redirects to the saved prompt; None if it was refused. Errors of variables, which are no fields of the
    form, are named above it."""
    if request.method != "POST" or not form.is_valid():
        return None
    try:
        row = save()
    except DomainError as problem:
        add_errors(form, problem)
        for name, texts in problem.details.items():
            if name.startswith("variables") and isinstance(texts, list):
                form.add_error(None, f"{name.removeprefix('variables.')}: {texts[0]}")
        return None
    messages.success(request, "Saved.")
    return redirect(page_url(request.principal, "prompt", prompt=row.slug))


def _form_page(request: HttpRequest, form: PromptForm, rows: list[Row], row: Prompt | None) -> HttpResponse:
    lines = [*rows, *new_rows(form, rows)]
    return render(request, "prompts/form.html", {"form": form, "lines": lines, "types": TYPES, "prompt": row})


@require_GET
@needs(Action.PROMPTS_VIEW)
def prompt(request: WorkspaceRequest, prompt: str, **slugs: str) -> HttpResponse:
    """The prompt and its versions; with `?before=&after=` also the diff of two versions."""
    row = queries.find_prompt(principal=request.principal, slug=prompt)
    context = {
        "prompt": row,
        "may_change": may(request.principal, Action.PROMPTS_CHANGE)
        and queries.may_change(request.principal, row),
        "versions": list(row.versions.all()[:VERSIONS_SHOWN]),
        "diff": _diff(request, row),
    }
    return render(request, "prompts/prompt.html", context)


def _diff(request: WorkspaceRequest, row: Prompt) -> list[dict[str, str]]:
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    if not all(text.isascii() and text.isdigit() and len(text) < 9 for text in (before, after)):
        return []
    return shown_diff(queries.diff_versions(row, int(before), int(after)))


def _restored(request: WorkspaceRequest, principal: Principal, prompt: str, number: int) -> str:
    return f"Version {number} restored."


def _prompt_page(request: WorkspaceRequest, principal: Principal, prompt: str, number: int) -> str:
    return page_url(principal, "prompt", prompt=prompt)


roll_back = button(
    needs(Action.PROMPTS_CHANGE),
    services.roll_back,
    reads=lambda request, principal, prompt, number: {"slug": prompt, "number": number},
    done=_restored,
    back=_prompt_page,
)
remove = button(
    needs(Action.PROMPTS_CHANGE),
    services.remove_prompt,
    reads=lambda request, principal, prompt: {"slug": prompt},
    done="Removed.",
    back="prompts",
)


@require_POST
@needs(Action.PROMPTS_USE)
def favourite(request: WorkspaceRequest, prompt: str, **slugs: str) -> HttpResponse:
    liked = request.POST.get("liked") == "1"
    services.set_favourite(principal=request.principal, slug=prompt, is_favourite=liked)
    return redirect(page_url(request.principal, "prompt", prompt=prompt))


@require_GET
@needs(Action.PROMPTS_VIEW)
def for_composer(request: WorkspaceRequest, **slugs: str) -> HttpResponse:
    """A few prompts that match the text typed after the slash, favourites first."""
    rows = queries.listed_prompts(principal=request.principal, find=searched(request))
    shown = rows.order_by("-is_favourite", "-updated_at", "-id")[:OFFERED]
    return JsonResponse({"data": [_offered(request.principal, row) for row in shown]})


def _offered(principal: Principal, row: Prompt) -> dict[str, Any]:
    return {
        "slug": row.slug,
        "title": row.title,
        "description": row.description,
        "variables": row.variables,
        "render_url": page_url(principal, "render_prompt", prompt=str(row.id)),
    }


@require_POST
@needs(Action.PROMPTS_USE)
def render_now(request: WorkspaceRequest, prompt: str, **slugs: str) -> HttpResponse:
    """The text with values from the composer's form; 422 names each wrong value."""
    row = queries.find_prompt(principal=request.principal, slug=prompt)
    types = {data["name"]: data["type"] for data in row.variables}
    values = {
        name: typed_value(types[name], plain_lines(str(text)))
        for name, text in request.POST.items()
        if name in types and text != ""
    }
    try:
        rendered = queries.render_prompt(principal=request.principal, slug=str(row.id), values=values)
    except InvalidInput as problem:
        return JsonResponse(
            {"error": {"message": problem_text(problem), "details": problem.details}}, status=422
        )
    return JsonResponse({"text": rendered.text})
