"""What clients send to create or change a prompt, by REST or by a form."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from kit.fields import Choice, Integer, Items, Line, Slug, String, Text
from workspaces.prompts.models import Prompt
from workspaces.prompts.render import LONGEST_TEXT, Variable

Title = Annotated[str, Line(100)]
Description = Annotated[str, Text(500, rows=2, may_be_empty=True)]
Visibility = Annotated[str, Choice(Prompt.Visibility.choices)]
Tags = Annotated[list[Annotated[str, String(40)]], Items(most=50)]
Body = Annotated[str, Text(LONGEST_TEXT, rows=10, is_trimmed=False)]
Note = Annotated[str, Line(200)]


@dataclass(frozen=True, kw_only=True)
class PromptInput:
    slug: Annotated[str, Slug(60)]
    title: Title
    description: Description = ""
    visibility: Visibility = Prompt.Visibility.WORKSPACE.value
    tags: Tags = field(default_factory=list)
    text: Body
    variables: list[Variable] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PromptChange:
    """None leaves a field as it is; a new text or new variables make a new version, with the note."""

    title: Title | None = None
    description: Description | None = None
    visibility: Visibility | None = None
    tags: Tags | None = None
    text: Body | None = None
    variables: list[Variable] | None = None
    note: Note = ""


@dataclass(frozen=True)
class RollbackInput:
    version: Annotated[int, Integer(1, 2**31 - 1)]


@dataclass(frozen=True)
class ValuesInput:
    variables: dict[str, Any] = field(default_factory=dict)
