"""Reads prompts: who sees which, their versions, and their text with values."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import NotFound
from kit.fields import plain_lines
from workspaces.diffs import diff_lines
from workspaces.prompts.models import Prompt, PromptVersion
from workspaces.prompts.render import Variable, render

MOST_OF_ONE_SLUG = 50  # prompts of other workspaces that are shared with the tenant under one slug


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt's text with values filled in, and the version that it was rendered from."""

    id: UUID
    slug: str
    number: int
    text: str

    @property
    def reference(self) -> dict[str, Any]:
        """What a turn stores of it."""
        return {"id": str(self.id), "slug": self.slug, "version": self.number}


def listed_prompts(
    *, principal: Principal, find: str = "", tag: str = "", favourites: bool = False
) -> QuerySet[Any]:
    rows: QuerySet[Any] = Prompt.objects.visible_to(principal)
    if find:
        rows = rows.filter(
            Q(title__icontains=find)
            | Q(slug__icontains=find)
            | Q(description__icontains=find)
            | Q(text__icontains=find)
            | Q(tags__contains=[find.lower()])
        )
    if tag:
        rows = rows.filter(tags__contains=[tag])
    return rows.filter(is_favourite=True) if favourites else rows


def find_prompt(*, principal: Principal, slug: str) -> Prompt:
    """By slug or id; the workspace's own comes before one that another workspace shares. NotFound."""
    rows = Prompt.objects.visible_to(principal)
    try:
        row = rows.filter(id=UUID(slug)).first()
    except ValueError:
        named = list(rows.filter(slug=slug).order_by("created_at", "id")[:MOST_OF_ONE_SLUG])
        own = (one for one in named if one.workspace_id == principal.workspace.id)
        row = next(own, named[0] if named else None)
    if row is None:
        raise NotFound
    return row


def may_change(principal: Principal, row: Prompt) -> bool:
    """Its author and the workspace's managers, and only in the prompt's own workspace."""
    is_theirs = row.user_id == principal.user_id or may(principal, Action.WORKSPACE_CHANGE)
    return row.workspace_id == principal.workspace.id and is_theirs


def variables_of(data: list[dict[str, Any]]) -> list[Variable]:
    return [Variable.from_data(one) for one in data]


def find_version(row: Prompt, number: int) -> PromptVersion:
    """NotFound."""
    version = PromptVersion.objects.filter(prompt=row, number=min(number, 2**31 - 1)).first()
    if version is None:
        raise NotFound
    return version


def diff_versions(row: Prompt, before: int, after: int) -> list[str]:
    """Lines of a unified diff, without its head. NotFound."""
    return diff_lines(_lines(find_version(row, before)), _lines(find_version(row, after)))


def _lines(version: PromptVersion) -> list[str]:
    definitions = [_definition(variable) for variable in variables_of(version.variables)]
    return [*plain_lines(version.text).split("\n"), *(["", *definitions] if definitions else [])]


def _definition(variable: Variable) -> str:
    """Everything in which two versions of a variable can differ, on one line."""
    parts = [f"{{{{{variable.name}}}}}: {variable.type}", *([] if variable.required else ["optional"])]
    for name in ("label", "default", "options"):
        if (value := getattr(variable, name)) not in ("", None, ()):
            parts.append(f"{name} {json.dumps(value, ensure_ascii=False)}")
    return ", ".join(parts)


def render_prompt(*, principal: Principal, slug: str, values: dict[str, Any]) -> RenderedPrompt:
    """The prompt with these values. NotFound; InvalidInput by variable."""
    row = find_prompt(principal=principal, slug=slug)
    text = render(row.text, variables_of(row.variables), values)
    return RenderedPrompt(id=row.id, slug=row.slug, number=row.number, text=text)
