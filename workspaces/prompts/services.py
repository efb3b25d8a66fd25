"""What can be done with prompts."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.policy import Action, may
from accounts.principals import Principal
from kit.errors import Conflict, Forbidden, InvalidInput, NotFound
from workspaces.diffs import diff_lines
from workspaces.prompts.models import Prompt, PromptFavourite, PromptVersion
from workspaces.prompts.render import Variable, check_prompt, plain_lines, render
from workspaces.slugs import is_like_an_id

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
RESERVED = {"new", "composer"}  # pages of ours
MOST_TAGS = 20
PRIVATE_FIELDS = ("title", "description")  # whose values nobody reads in the audit while a prompt is private
Visibility = Prompt.Visibility


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt's text with its values, and which version of it that is."""

    slug: str
    number: int
    text: str


def visible_prompts(place: Principal) -> QuerySet[Any]:
    """The workspace's, one's own private ones in it, and those that are shared with the whole tenant."""
    here = Q(workspace_id=place.workspace.id)
    shared = here & ~Q(visibility=Visibility.ME) | here & Q(user_id=place.user_id)
    rows = Prompt.objects.filter(shared | Q(visibility=Visibility.TENANT), removed_at=None)
    liked = PromptFavourite.objects.filter(prompt=OuterRef("id"), user_id=place.user_id)
    return rows.annotate(is_favourite=Exists(liked))


def listed_prompts(
    *, place: Principal, find: str = "", tag: str = "", favourites: bool = False
) -> QuerySet[Any]:
    rows = visible_prompts(place)
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


def find_prompt(*, place: Principal, slug: str) -> Prompt:
    """By slug or id; the workspace's own goes before another's that is shared with the tenant. NotFound."""
    rows = visible_prompts(place)
    try:
        row = rows.filter(id=UUID(slug)).first()
    except ValueError:
        named = list(rows.filter(slug=slug).order_by("created_at", "id")[:50])
        row = next((one for one in named if one.workspace_id == place.workspace.id), None)
        row = row or (named[0] if named else None)
    if row is None:
        raise NotFound
    return row  # type: ignore[no-any-return]


def may_change(place: Principal, row: Prompt) -> bool:
    """Its author and those who run the workspace, in its own workspace."""
    is_theirs = row.user_id == place.user_id or may(place, Action.WORKSPACE_CHANGE)
    return row.workspace_id == place.workspace.id and is_theirs


def _changeable(principal: Principal, slug: str) -> Prompt:
    row = find_prompt(place=principal, slug=slug)
    if not may_change(principal, row):
        raise Forbidden("Only the author and the workspace's managers can edit this prompt.")
    return Prompt.objects.select_for_update().get(id=row.id)


@transaction.atomic
def create_prompt(
    *,
    principal: Principal,
    slug: str,
    title: str,
    text: str,
    variables: list[Variable],
    description: str = "",
    visibility: str = Visibility.WORKSPACE.value,
    tags: Iterable[str] = (),
) -> Prompt:
    """InvalidInput; Conflict for a slug that is or was taken."""
    if not SLUG.fullmatch(slug) or slug in RESERVED:
        raise InvalidInput(
            slug=["Use up to 60 lowercase letters, digits and hyphens. Some names are reserved."]
        )
    if is_like_an_id(slug):
        raise InvalidInput(slug=["This looks like an ID. Choose another name."])
    text, variables = plain_lines(text), [variable.with_plain_lines() for variable in variables]
    check_prompt(text, variables)
    try:
        with transaction.atomic():
            row = Prompt.objects.create(
                workspace_id=principal.workspace.id,
                user_id=principal.user_id,
                slug=slug,
                title=title,
                description=description,
                visibility=visibility,
                tags=plain_tags(tags),
                text=text,
                variables=[variable.as_data() for variable in variables],
            )
    except IntegrityError as exc:
        raise Conflict(f"The name {slug} is taken or was already used. Choose another.", slug=slug) from exc
    _write_version(row, principal, "")
    _record("prompt.created", principal, row, visibility=visibility)
    return find_prompt(place=principal, slug=str(row.id))


def plain_tags(tags: Iterable[str]) -> list[str]:
    """Small, each once, in order; a comma parts two. InvalidInput for too many."""
    parted = (part for tag in tags for part in tag.lower().split(","))
    plain = sorted({" ".join(part.split())[:40].strip() for part in parted} - {""})
    if len(plain) > MOST_TAGS:
        raise InvalidInput(tags=[f"Use at most {MOST_TAGS} tags."])
    return plain


def _write_version(row: Prompt, principal: Principal, note: str) -> None:
    PromptVersion.objects.create(
        prompt=row,
        number=row.number,
        user_id=principal.user_id,
        note=note,
        text=row.text,
        variables=row.variables,
    )


@transaction.atomic
def change_prompt(*, principal: Principal, slug: str, note: str = "", **wanted: Any) -> Prompt:
    """Whatever is named of title, description, visibility, tags, text, variables; the latter two make a new
    version. Only its author changes who sees it."""
    row = _changeable(principal, slug)
    if "visibility" in wanted and wanted["visibility"] != row.visibility and row.user_id != principal.user_id:
        raise Forbidden("Only the author can change who sees this prompt.")
    if "tags" in wanted:
        wanted["tags"] = plain_tags(wanted["tags"])
    changes = audit.change(row, wanted, ("title", "description", "visibility", "tags"))
    text = plain_lines(wanted.get("text", row.text))
    variables = [
        variable.with_plain_lines() for variable in wanted.get("variables", _variables(row.variables))
    ]
    told = [variable.as_data() for variable in variables]
    if (text, told) != (plain_lines(row.text), row.variables):
        check_prompt(text, variables)
        row.text, row.variables, row.number = text, told, row.number + 1
        changes["version"] = [row.number - 1, row.number]
        _write_version(row, principal, note)
    if changes:
        row.save()
        _record("prompt.changed", principal, row, changes)
    return find_prompt(place=principal, slug=str(row.id))


@transaction.atomic
def roll_back(*, principal: Principal, slug: str, number: int) -> Prompt:
    """A new version that says what the old one said. NotFound for a version that never was."""
    row = _changeable(principal, slug)
    old = find_version(row, number)
    return change_prompt(
        principal=principal,
        slug=str(row.id),
        note=f"Version {number} again",
        text=old.text,
        variables=_variables(old.variables),
    )


def _variables(data: list[dict[str, Any]]) -> list[Variable]:
    return [Variable.from_data(one) for one in data]


def find_version(row: Prompt, number: int) -> PromptVersion:
    version = PromptVersion.objects.filter(prompt=row, number=min(number, 2**31 - 1)).first()
    if version is None:
        raise NotFound
    return version


def diff_versions(row: Prompt, before: int, after: int) -> list[str]:
    """Lines of a unified diff, without its head."""
    return diff_lines(_lines(find_version(row, before)), _lines(find_version(row, after)))


def _lines(version: PromptVersion) -> list[str]:
    declared = [_declared(variable) for variable in _variables(version.variables)]
    return [*plain_lines(version.text).split("\n"), *(["", *declared] if declared else [])]


def _declared(variable: Variable) -> str:
    """All that makes a version another, on one line."""
    told = [f"{{{{{variable.name}}}}}: {variable.type}", *([] if variable.required else ["optional"])]
    for name in ("label", "default", "options"):
        if (value := getattr(variable, name)) not in ("", None, ()):
            told.append(f"{name} {json.dumps(value, ensure_ascii=False)}")
    return ", ".join(told)


@transaction.atomic
def remove_prompt(*, principal: Principal, slug: str) -> None:
    """For good; its name is not given again."""
    row = _changeable(principal, slug)
    _empty(Prompt.objects.filter(id=row.id))
    _record("prompt.removed", principal, row)


@transaction.atomic
def forget_prompts(*, user_id: UUID) -> int:
    """Somebody's private ones, everywhere in the tenant, when they left for good; how many there were."""
    return _empty(Prompt.objects.filter(user_id=user_id, visibility=Visibility.ME, removed_at=None))


def _empty(rows: QuerySet[Prompt]) -> int:
    """Of all but their slugs, which are not given again."""
    PromptVersion.objects.filter(prompt__in=rows).delete()
    PromptFavourite.objects.filter(prompt__in=rows).delete()
    return rows.update(title="", description="", tags=[], text="", variables=[], removed_at=timezone.now())


def _record(
    action: str, principal: Principal, row: Prompt, changes: audit.Changes | None = None, **details: Any
) -> None:
    """A prompt that is or was its author's alone is told by its id, and without what it says: owners read the
    audit, and not the prompt."""
    changes = changes or {}
    is_private = Visibility.ME in (row.visibility, *changes.get("visibility", ()))
    told = changes
    if is_private:
        told = {
            name: [audit.MASK, audit.MASK] if name in PRIVATE_FIELDS else values
            for name, values in changes.items()
        }
    target = str(row.id) if is_private else row.slug
    audit.record(action, principal=principal, target=target, changes=told, **details)


def remove_prompts(*, workspace_id: UUID) -> None:
    """All of a workspace's, when it is deleted for good."""
    Prompt.objects.filter(workspace_id=workspace_id).delete()


def set_favourite(*, principal: Principal, slug: str, is_favourite: bool) -> None:
    row = find_prompt(place=principal, slug=slug)
    if is_favourite:
        favourite = PromptFavourite(prompt=row, user_id=principal.user_id)
        PromptFavourite.objects.bulk_create([favourite], ignore_conflicts=True)
    else:
        PromptFavourite.objects.filter(prompt=row, user_id=principal.user_id).delete()


def render_prompt(*, place: Principal, slug: str, values: dict[str, Any]) -> RenderedPrompt:
    """The prompt with these values. NotFound, InvalidInput by variable."""
    row = find_prompt(place=place, slug=slug)
    text = render(row.text, _variables(row.variables), values)
    return RenderedPrompt(slug=row.slug, number=row.number, text=text)
