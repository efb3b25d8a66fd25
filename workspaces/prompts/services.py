"""Changes prompts; each change is audited, and each new text or set of variables is a version."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Forbidden, InvalidInput
from kit.fields import plain_lines
from kit.slugs import claim_slug
from workspaces.prompts.inputs import PromptChange, PromptInput
from workspaces.prompts.models import Prompt, PromptFavourite, PromptVersion
from workspaces.prompts.queries import find_prompt, find_version, may_change, variables_of
from workspaces.prompts.render import Variable, check_prompt
from workspaces.slugs import PROMPT_SLUGS

MOST_TAGS = 20
PRIVATE_FIELDS = ("title", "description")  # masked in the audit while a prompt is private
Visibility = Prompt.Visibility


def require_change(principal: Principal, row: Prompt) -> None:
    """Forbidden."""
    if not may_change(principal, row):
        raise Forbidden("Only the author and the workspace's managers can edit this prompt.")


def _lock(principal: Principal, slug: str) -> Prompt:
    row = find_prompt(principal=principal, slug=slug)
    require_change(principal, row)
    return Prompt.objects.select_for_update().get(id=row.id)


@transaction.atomic
def create_prompt(*, principal: Principal, prompt: PromptInput) -> Prompt:
    """InvalidInput; Conflict for a slug that is taken."""
    PROMPT_SLUGS.check(prompt.slug)
    text, variables = plain_lines(prompt.text), _normalised(prompt.variables)
    check_prompt(text, variables)
    with claim_slug(prompt.slug):
        row = Prompt.objects.create(
            workspace_id=principal.workspace.id,
            user_id=principal.user_id,
            slug=prompt.slug,
            title=prompt.title,
            description=prompt.description,
            visibility=prompt.visibility,
            tags=normalised_tags(prompt.tags),
            text=text,
            variables=[variable.as_data() for variable in variables],
        )
    _write_version(row, principal, "")
    _record("prompt.created", principal, row, visibility=row.visibility)
    return find_prompt(principal=principal, slug=str(row.id))


def _normalised(variables: Iterable[Variable]) -> list[Variable]:
    return [variable.with_plain_lines() for variable in variables]


def normalised_tags(tags: Iterable[str]) -> list[str]:
    """Lowercase, sorted, no duplicates; a comma splits a tag in two. InvalidInput for too many."""
    parts = (part for tag in tags for part in tag.lower().split(","))
    found = sorted({" ".join(part.split())[:40].strip() for part in parts} - {""})
    if len(found) > MOST_TAGS:
        raise InvalidInput(tags=[f"Use at most {MOST_TAGS} tags."])
    return found


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
def change_prompt(*, principal: Principal, slug: str, change: PromptChange) -> Prompt:
    """NotFound, Forbidden, InvalidInput. Only the author changes who can see the prompt."""
    row = _lock(principal, slug)
    is_author = row.user_id == principal.user_id
    if change.visibility not in (None, row.visibility) and not is_author:
        raise Forbidden("Only the author can change who sees this prompt.")
    columns = {
        "title": change.title,
        "description": change.description,
        "visibility": change.visibility,
        "tags": None if change.tags is None else normalised_tags(change.tags),
    }
    changes = audit.change(row, columns, columns)
    changes |= _change_text(row, principal, change)
    if changes:
        row.save()
        _record("prompt.changed", principal, row, changes)
    return find_prompt(principal=principal, slug=str(row.id))


def _change_text(row: Prompt, principal: Principal, change: PromptChange) -> audit.Changes:
    """Makes a new version if text or variables differ; line ends alone are no difference."""
    text = plain_lines(row.text if change.text is None else change.text)
    given = variables_of(row.variables) if change.variables is None else change.variables
    variables = _normalised(given)
    data = [variable.as_data() for variable in variables]
    if (text, data) == (plain_lines(row.text), row.variables):
        return {}
    check_prompt(text, variables)
    row.text, row.variables, row.number = text, data, row.number + 1
    _write_version(row, principal, change.note)
    return {"version": [row.number - 1, row.number]}


@transaction.atomic
def roll_back(*, principal: Principal, slug: str, number: int) -> Prompt:
    """Makes a new version with the text and variables of an old one. NotFound, Forbidden."""
    row = _lock(principal, slug)
    old = find_version(row, number)
    change = PromptChange(
        note=f"Version {number} again", text=old.text, variables=variables_of(old.variables)
    )
    return change_prompt(principal=principal, slug=str(row.id), change=change)


@transaction.atomic
def remove_prompt(*, principal: Principal, slug: str) -> None:
    """Deletes the prompt with its versions; its slug is free again. NotFound, Forbidden."""
    row = _lock(principal, slug)
    _clear(Prompt.objects.filter(id=row.id))
    _record("prompt.removed", principal, row)


@transaction.atomic
def forget_prompts(*, user_id: UUID) -> int:
    """Clears the private prompts of a member who left for good, in the whole tenant; returns how many."""
    return _clear(Prompt.objects.installed().private_to(user_id))


def _clear(rows: QuerySet[Prompt]) -> int:
    """Deletes what they say; the rows stay, so that their ids can be looked up."""
    PromptVersion.objects.filter(prompt__in=rows).delete()
    PromptFavourite.objects.filter(prompt__in=rows).delete()
    return rows.update(title="", description="", tags=[], text="", variables=[], removed_at=timezone.now())


def _record(
    action: str, principal: Principal, row: Prompt, changes: audit.Changes | None = None, **details: Any
) -> None:
    """A prompt that is or was private is named by its id and its content masked: owners who may not read the
    prompt read the audit."""
    changes = changes or {}
    is_private = Visibility.ME in (row.visibility, *changes.get("visibility", ()))
    if is_private:
        changes = {
            name: [audit.MASK, audit.MASK] if name in PRIVATE_FIELDS else values
            for name, values in changes.items()
        }
    target = str(row.id) if is_private else row.slug
    audit.record(action, principal=principal, target=target, id=str(row.id), changes=changes, **details)


def set_favourite(*, principal: Principal, slug: str, is_favourite: bool) -> None:
    """NotFound."""
    row = find_prompt(principal=principal, slug=slug)
    if is_favourite:
        favourite = PromptFavourite(prompt=row, user_id=principal.user_id)
        PromptFavourite.objects.bulk_create([favourite], ignore_conflicts=True)
    else:
        PromptFavourite.objects.filter(prompt=row, user_id=principal.user_id).delete()
