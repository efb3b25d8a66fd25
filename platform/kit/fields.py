"""Rules for input fields: each makes the field of a serializer and of a form, so that both accept the same.

They annotate the fields of a dataclass; `kit.inputs` makes serializers and forms of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django import forms
from rest_framework import serializers

Choices = Iterable[Any]  # values, or pairs of a value and its label


def one_line(text: str) -> str:
    """Without space at the ends, and with single spaces for each run of white space."""
    return " ".join(text.split())


def plain_lines(text: str) -> str:
    r"""With `\n` at the end of each line; browsers send `\r\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


class LineField(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        return one_line(super().to_internal_value(data))


class LineFormField(forms.CharField):
    def to_python(self, value: Any) -> str:
        return one_line(super().to_python(value) or "")


class TextField(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        return plain_lines(super().to_internal_value(data))


class TextFormField(forms.CharField):
    def to_python(self, value: Any) -> str:
        return plain_lines(super().to_python(value) or "")


class Rule:
    """What an annotation says of its type. Lengths are characters."""

    def serializer_field(self, **options: Any) -> Any:
        raise NotImplementedError

    def form_field(self, **options: Any) -> forms.Field:
        raise NotImplementedError


def _or_blank(options: dict[str, Any], may_be_empty: bool) -> dict[str, Any]:
    return {**options, "allow_blank": may_be_empty or options.get("allow_blank", False)}


@dataclass(frozen=True)
class Line(Rule):
    """One line for people, such as a name; runs of white space become one space."""

    longest: int = 100

    def serializer_field(self, **options: Any) -> Any:
        return LineField(max_length=self.longest, **options)

    def form_field(self, **options: Any) -> forms.Field:
        return LineFormField(max_length=self.longest, **options)


@dataclass(frozen=True)
class String(Rule):
    """Text that is taken as it is, without the space around it."""

    longest: int
    may_be_empty: bool = False

    def serializer_field(self, **options: Any) -> Any:
        return serializers.CharField(max_length=self.longest, **_or_blank(options, self.may_be_empty))

    def form_field(self, **options: Any) -> forms.Field:
        return forms.CharField(max_length=self.longest, **options)


@dataclass(frozen=True)
class Slug(String):
    """A name for programs. Services check which characters it has."""

    longest: int = 60


@dataclass(frozen=True)
class KnownSlug(Rule):
    """The slug of something that exists: letters, digits, hyphens and underscores."""

    longest: int = 60

    def serializer_field(self, **options: Any) -> Any:
        return serializers.SlugField(max_length=self.longest, **options)

    def form_field(self, **options: Any) -> forms.Field:
        return forms.SlugField(max_length=self.longest, **options)


@dataclass(frozen=True)
class Text(Rule):
    """Several lines; `rows` is the height of its box in a form."""

    longest: int
    rows: int = 3
    is_trimmed: bool = True
    may_be_empty: bool = False

    def serializer_field(self, **options: Any) -> Any:
        options = _or_blank(options, self.may_be_empty)
        return TextField(max_length=self.longest, trim_whitespace=self.is_trimmed, **options)

    def form_field(self, **options: Any) -> forms.Field:
        widget = forms.Textarea(attrs={"rows": self.rows})
        return TextFormField(max_length=self.longest, strip=self.is_trimmed, widget=widget, **options)


@dataclass(frozen=True)
class Secret(Rule):
    """A key or a password: never returned, and never filled in again by a browser."""

    longest: int = 10_000
    may_be_empty: bool = False
    is_trimmed: bool = True

    def serializer_field(self, **options: Any) -> Any:
        options = _or_blank(options | {"write_only": True}, self.may_be_empty)
        return serializers.CharField(max_length=self.longest, trim_whitespace=self.is_trimmed, **options)

    def form_field(self, **options: Any) -> forms.Field:
        options = {"widget": forms.PasswordInput(attrs={"autocomplete": "off"}), **options}
        return forms.CharField(max_length=self.longest, strip=self.is_trimmed, **options)


@dataclass(frozen=True)
class Email(Rule):
    """An email address, in the case that it was sent in."""

    longest: int = 254

    def serializer_field(self, **options: Any) -> Any:
        return serializers.EmailField(max_length=self.longest, **options)

    def form_field(self, **options: Any) -> forms.Field:
        return forms.EmailField(max_length=self.longest, **options)


@dataclass(frozen=True, eq=False)  # annotations are hashed, and choices may be a list
class Choice(Rule):
    choices: Choices

    def serializer_field(self, **options: Any) -> Any:
        texts: dict[str, Any] = {
            "required": f"This field is required. {self.listed}",
            "invalid_choice": f'"{{input}}" is not a valid choice. {self.listed}',
        }
        return serializers.ChoiceField(list(self.choices), error_messages=texts, **options)

    def form_field(self, **options: Any) -> forms.Field:
        return forms.TypedChoiceField(**{"choices": self.pairs, "empty_value": None, **options})

    def tick_boxes(self, **options: Any) -> forms.Field:
        widget = forms.CheckboxSelectMultiple
        return forms.MultipleChoiceField(**{"choices": self.pairs, "widget": widget, **options})

    @property
    def listed(self) -> str:
        """The possible values, in a sentence for errors."""
        return f"Use one of: {', '.join(str(value) for value, _ in self.pairs)}."

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        return [one if isinstance(one, tuple) else (one, one) for one in self.choices]


@dataclass(frozen=True)
class Integer(Rule):
    lowest: int | None = None
    highest: int | None = None

    def serializer_field(self, **options: Any) -> Any:
        return serializers.IntegerField(min_value=self.lowest, max_value=self.highest, **options)

    def form_field(self, **options: Any) -> forms.Field:
        return forms.IntegerField(min_value=self.lowest, max_value=self.highest, **options)


@dataclass(frozen=True)
class Real(Rule):
    lowest: float | None = None
    highest: float | None = None

    def serializer_field(self, **options: Any) -> Any:
        return serializers.FloatField(min_value=self.lowest, max_value=self.highest, **options)

    def form_field(self, **options: Any) -> forms.Field:
        return forms.FloatField(min_value=self.lowest, max_value=self.highest, **options)


@dataclass(frozen=True)
class Items:
    """How many items a list has; the item's own rules are in the list's type."""

    most: int
    fewest: int = 0


@dataclass(frozen=True)
class Nullable:
    """JSON null is a value, and read as None."""


class Unchanged(Enum):
    """The default of a field of a PATCH that null clears: what was left out stays as it is."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True)
class Help:
    """What the API's description says of the field; forms have texts of their own."""

    text: str
