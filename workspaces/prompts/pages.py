"""The pages of prompts: the library, one prompt with its versions, its form; and what the composer asks."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_helpers import act, blame, needs, told
from accounts.page_urls import place_url
from accounts.pagination import page_of, searched
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import DomainError, Forbidden, InvalidInput
from workspaces.diffs import shown_diff
from workspaces.prompts import services
from workspaces.prompts.models import Prompt
from workspaces.prompts.render import LONGEST_TEXT, MOST_VARIABLES, PLACE, TYPES, Variable, plain_lines

OFFERED = 8  # prompts in the composer's list
VERSIONS_SHOWN = 50
FIELDS = ("name", "type", "label", "default", "options")
VISIBLE_TO = [
    (Prompt.Visibility.ME.value, "Only the author"),
    (Prompt.Visibility.WORKSPACE.value, "Everyone in the workspace"),
    (Prompt.Visibility.TENANT.value, "Everyone in the team"),
]


class LinesField(forms.CharField):
    """Several lines, which end and count as those of a prompt do."""

    def __init__(self, *, rows: int, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": rows}), **kwargs)

    def to_python(self, value: Any) -> str:
        return plain_lines(super().to_python(value) or "")


class PromptForm(forms.Form):
    title = forms.CharField(label="Title", max_length=100)
    slug = forms.CharField(
        label="API name",
        max_length=60,
        help_text="Lowercase letters, digits and hyphens. Cannot be changed later.",
    )
    description = LinesField(label="Description", max_length=500, required=False, rows=2)
    text = LinesField(
        label="Text",
        max_length=LONGEST_TEXT,
        strip=False,
        rows=10,
        help_text="Write {{name}} to add a variable.",
    )
    visibility = forms.ChoiceField(label="Visible to", choices=VISIBLE_TO, initial="workspace")
    tags = forms.CharField(
        label="Tags", max_length=1000, required=False, help_text="Separate tags with commas."
    )
    note = forms.CharField(label="Change note", max_length=200, required=False)

    def fields_of(self) -> dict[str, Any]:
        sent = self.cleaned_data
        named = ("title", "description", "text", "visibility")
        return {**{name: sent[name] for name in named}, "tags": sent["tags"].split(",")}


def sent_variables(data: QueryDict) -> list[dict[str, Any]]:
    """The rows of the form that have a name, as they were typed."""
    columns = {name: data.getlist(f"variable_{name}")[: MOST_VARIABLES + 1] for name in (*FIELDS, "required")}
    rows = []
    for at, name in enumerate(columns["name"]):
        if name.strip():
            rows.append({key: _at(columns[key], at) for key in columns} | {"name": name.strip()})
    return rows


def _at(column: list[str], at: int) -> str:
    return plain_lines(column[at].replace("\0", "")) if at < len(column) else ""


def variables_of(rows: list[dict[str, Any]], stored: Sequence[dict[str, Any]] = ()) -> list[Variable]:
    """What was typed as variables; one that nobody touched stays as it is stored, whatever a form shows."""
    shown = {data["name"]: (_typed(data), data) for data in stored}
    untouched = {name: data for name, (typed, data) in shown.items() if typed in rows}
    return [
        Variable.from_data(untouched[row["name"]]) if row["name"] in untouched else _variable(row)
        for row in rows
    ]


def _variable(row: dict[str, Any]) -> Variable:
    options = (one.strip() for one in row["options"].split("\n"))
    return Variable(
        name=row["name"],
        type=row["type"],
        label=row["label"].strip()[:100],
        required=row["required"] != "no",
        default=typed_value(row["type"], row["default"]) if row["default"] else None,
        options=tuple(one for one in options if one),
    )


def typed_value(kind: str, text: str) -> Any:
    """A form's text as the variable's type; what is none of it stays text, which is then refused."""
    if kind not in {"text", "multiline"}:
        text = text.strip()
    if kind == "boolean":
        return {"true": True, "on": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
    if kind == "number":
        try:
            return int(text)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                return text
    return text


@require_GET
@needs(Action.PROMPTS_VIEW)
def prompts(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """The library, searched and narrowed."""
    tag = request.GET.get("tag", "").replace("\0", "")[:40]
    liked = request.GET.get("liked") == "1"
    rows = services.listed_prompts(place=request.principal, find=searched(request), tag=tag, favourites=liked)
    shown = page_of(request, rows, moment="updated_at", newest_first=True)
    context = {"prompts": shown, "find": searched(request), "tag": tag, "liked": liked}
    return render(request, "prompts/list.html", context)


@require_http_methods(["GET", "POST"])
@needs(Action.PROMPTS_CHANGE)
def new(request: WorkspaceRequest, **place: str) -> HttpResponse:
    form, rows = PromptForm(request.POST or None), sent_variables(request.POST)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_prompt(
                principal=request.principal,
                slug=form.cleaned_data["slug"],
                variables=variables_of(rows),
                **form.fields_of(),
            )
        except DomainError as problem:
            _blame(form, problem)
        else:
            messages.success(request, "Saved.")
            return redirect(place_url(request.principal, "prompt", prompt=made.slug))
    return _form_page(request, form, rows, None)


@require_http_methods(["GET", "POST"])
@needs(Action.PROMPTS_CHANGE)
def edit(request: WorkspaceRequest, prompt: str, **place: str) -> HttpResponse:
    row = services.find_prompt(place=request.principal, slug=prompt)
    if not services.may_change(request.principal, row):
        raise Forbidden("Only the author and the workspace's managers can edit this prompt.")
    initial = {name: getattr(row, name) for name in ("title", "slug", "description", "text", "visibility")}
    form = PromptForm(request.POST or None, initial={**initial, "tags": ", ".join(row.tags)})
    form.fields["slug"].required = False
    rows = sent_variables(request.POST) if request.method == "POST" else [_typed(v) for v in row.variables]
    if request.method == "POST" and form.is_valid():
        try:
            services.change_prompt(
                principal=request.principal,
                slug=str(row.id),
                note=form.cleaned_data["note"],
                variables=variables_of(rows, row.variables),
                **form.fields_of(),
            )
        except DomainError as problem:
            _blame(form, problem)
        else:
            messages.success(request, "Saved.")
            return redirect(place_url(request.principal, "prompt", prompt=row.slug))
    return _form_page(request, form, rows, row)


def _blame(form: forms.Form, problem: DomainError) -> None:
    blame(form, problem)
    for name, texts in problem.details.items():
        if name.startswith("variables") and isinstance(texts, list):
            form.add_error(None, f"{name.removeprefix('variables.')}: {texts[0]}")


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """A stored variable as the form shows it, and sends it back."""
    return {
        **data,
        "label": " ".join(data["label"].split()),
        "default": "" if data["default"] is None else plain_lines(str(data["default"])),
        "options": plain_lines("\n".join(data["options"])),
        "required": "yes" if data["required"] else "no",
    }


def _form_page(
    request: HttpRequest, form: PromptForm, rows: list[dict[str, Any]], row: Prompt | None
) -> HttpResponse:
    known = {one["name"] for one in rows}
    text = form.data.get("text", "") if form.is_bound else form.initial.get("text", "")
    found = [name for name in dict.fromkeys(PLACE.findall(text)) if name not in known]
    fresh = [{"name": name} for name in found[:MOST_VARIABLES]]
    lines = [*rows, *fresh, {}, {}]
    return render(request, "prompts/form.html", {"form": form, "lines": lines, "types": TYPES, "prompt": row})


@require_GET
@needs(Action.PROMPTS_VIEW)
def prompt(request: WorkspaceRequest, prompt: str, **place: str) -> HttpResponse:
    """What it says, its versions, and `?before=&after=` what changed between two of them."""
    row = services.find_prompt(place=request.principal, slug=prompt)
    context = {
        "prompt": row,
        "may_change": may(request.principal, Action.PROMPTS_CHANGE)
        and services.may_change(request.principal, row),
        "versions": list(row.versions.all()[:VERSIONS_SHOWN]),
        "diff": _diff(request, row),
    }
    return render(request, "prompts/prompt.html", context)


def _diff(request: WorkspaceRequest, row: Prompt) -> list[dict[str, str]]:
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    plain = all(text.isascii() and text.isdigit() and len(text) < 9 for text in (before, after))
    if not plain:
        return []
    return shown_diff(services.diff_versions(row, int(before), int(after)))


@require_POST
@needs(Action.PROMPTS_CHANGE)
def roll_back(request: WorkspaceRequest, prompt: str, number: int, **place: str) -> HttpResponse:
    back = place_url(request.principal, "prompt", prompt=prompt)
    done = f"Version {number} restored."
    return act(
        request,
        services.roll_back,
        principal=request.principal,
        slug=prompt,
        number=number,
        done=done,
        back=back,
    )


@require_POST
@needs(Action.PROMPTS_CHANGE)
def remove(request: WorkspaceRequest, prompt: str, **place: str) -> HttpResponse:
    back = place_url(request.principal, "prompts")
    return act(
        request, services.remove_prompt, principal=request.principal, slug=prompt, done="Removed.", back=back
    )


@require_POST
@needs(Action.PROMPTS_USE)
def favourite(request: WorkspaceRequest, prompt: str, **place: str) -> HttpResponse:
    wanted = request.POST.get("liked") == "1"
    services.set_favourite(principal=request.principal, slug=prompt, is_favourite=wanted)
    return redirect(place_url(request.principal, "prompt", prompt=prompt))


@require_GET
@needs(Action.PROMPTS_VIEW)
def for_composer(request: WorkspaceRequest, **place: str) -> HttpResponse:
    """A few prompts that match what was typed after the slash, favourites first."""
    rows = services.listed_prompts(place=request.principal, find=searched(request))
    shown = rows.order_by("-is_favourite", "-updated_at", "-id")[:OFFERED]
    return JsonResponse({"data": [_offered(request.principal, row) for row in shown]})


def _offered(principal: Principal, row: Prompt) -> dict[str, Any]:
    return {
        "slug": row.slug,
        "title": row.title,
        "description": row.description,
        "variables": row.variables,
        "render_url": place_url(principal, "render_prompt", prompt=str(row.id)),
    }


@require_POST
@needs(Action.PROMPTS_USE)
def render_now(request: WorkspaceRequest, prompt: str, **place: str) -> HttpResponse:
    """The text with the values of the composer's small form; 422 with what is wrong with which of them."""
    row = services.find_prompt(place=request.principal, slug=prompt)
    types = {data["name"]: data["type"] for data in row.variables}
    values = {
        name: typed_value(types[name], plain_lines(str(text)))
        for name, text in request.POST.items()
        if name in types and text != ""
    }
    try:
        rendered = services.render_prompt(place=request.principal, slug=str(row.id), values=values)
    except InvalidInput as problem:
        return JsonResponse({"error": {"message": told(problem), "details": problem.details}}, status=422)
    return JsonResponse({"text": rendered.text})
