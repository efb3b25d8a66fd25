"""Inputs, each declared once as an annotated dataclass, from which its serializer and its form are made.

    @dataclass(frozen=True)
    class NoteInput:
        title: Annotated[str, Line(100)]
        tags: Annotated[list[Annotated[str, Line(40)]], Items(most=20)] = field(default_factory=list)
        is_pinned: bool = False
        due: datetime | None = None

`read_body(NoteInput, request.data)` and `read_form(NoteInput, form)` both return a NoteInput, normalised and
bounded by the same rules. A field with a default may be left out. `| None` does not permit a JSON null, so
that None can mean "unchanged" in the input of a PATCH; `Nullable()` permits it. If null clears the field,
its default is `UNCHANGED`.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date, datetime
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from django import forms
from rest_framework import serializers

from kit.body_validation import validated
from kit.fields import UNCHANGED, Choice, Help, Items, Nullable, Rule

T = TypeVar("T")
LISTS = (list, tuple)
PLAIN_TYPES: dict[Any, tuple[type[Any], type[forms.Field]]] = {
    bool: (serializers.BooleanField, forms.BooleanField),
    int: (serializers.IntegerField, forms.IntegerField),
    float: (serializers.FloatField, forms.FloatField),
    str: (serializers.CharField, forms.CharField),
    UUID: (serializers.UUIDField, forms.UUIDField),
    date: (serializers.DateField, forms.DateField),
    datetime: (serializers.DateTimeField, forms.DateTimeField),
    dict: (serializers.DictField, forms.JSONField),
    Any: (serializers.JSONField, forms.JSONField),
}


@dataclass(frozen=True)
class Annotation:
    """A field's type with the rules that it was annotated with."""

    kind: Any
    rules: tuple[Any, ...] = ()

    @classmethod
    def from_hint(cls, hint: Any) -> "Annotation":
        origin = get_origin(hint)
        if origin is Annotated:
            inner, *rules = get_args(hint)
            found = cls.from_hint(inner)
            return cls(found.kind, (*found.rules, *rules))
        if origin in (Union, types.UnionType):
            return cls.from_hint(next(one for one in get_args(hint) if one is not type(None)))
        return cls(hint)

    def rule(self, kind: type[T]) -> T | None:
        return next((rule for rule in self.rules if isinstance(rule, kind)), None)

    @property
    def item(self) -> "Annotation | None":
        """Of a list, how each item is annotated."""
        if get_origin(self.kind) not in LISTS:
            return None
        return Annotation.from_hint(get_args(self.kind)[0])

    def serializer_field(self, **options: Any) -> Any:
        if self.rule(Nullable):
            options["allow_null"] = True
        if (described := self.rule(Help)) is not None:
            options["help_text"] = described.text
        if self.item is not None:
            return self._list_field(self.item, **options)
        if is_dataclass(self.kind):
            return serializer_of(self.kind)(**options)
        if (rule := self.rule(Rule)) is not None:
            return rule.serializer_field(**options)
        return self._plain(0)(**options)

    def _list_field(self, item: "Annotation", **options: Any) -> Any:
        if (items := self.rule(Items)) is not None:
            options |= {"min_length": items.fewest or None, "max_length": items.most}
        if is_dataclass(item.kind):
            return item.serializer_field(many=True, **options)
        if (choice := item.rule(Choice)) is not None:
            options["error_messages"] = {
                "required": f"This field is required. {choice.listed}",
                "not_a_list": f"Send a list. {choice.listed}",
                "min_length": f"Choose at least {{min_length}}. {choice.listed}",
            }
        return serializers.ListField(child=item.serializer_field(), **options)

    def form_field(self, **options: Any) -> forms.Field:
        if self.item is not None and (choice := self.item.rule(Choice)) is not None:
            return choice.tick_boxes(**options)
        if (rule := self.rule(Rule)) is not None:
            return rule.form_field(**options)
        if self.kind is bool:
            options["required"] = False
        field: forms.Field = self._plain(1)(**options)
        return field

    def _plain(self, which: int) -> Any:
        kind = get_origin(self.kind) or self.kind
        if kind not in PLAIN_TYPES:
            raise TypeError(f"{self.kind} needs a rule, or fields that are written by hand.")
        return PLAIN_TYPES[kind][which]

    def read(self, value: Any) -> Any:
        """A validated value as its declared type: serializers return lists for tuples."""
        return tuple(value) if get_origin(self.kind) is tuple and value is not None else value


def annotations(input_class: Any) -> dict[str, Annotation]:
    hints = get_type_hints(input_class, include_extras=True)
    return {one.name: Annotation.from_hint(hints[one.name]) for one in fields(input_class)}


def _defaults(input_class: Any) -> dict[str, Any]:
    """By field; MISSING for a required one. What a factory makes stays a factory."""
    return {
        one.name: one.default if one.default_factory is MISSING else one.default_factory
        for one in fields(input_class)
    }


class InputSerializer(serializers.Serializer[Any]):
    # Validates to an instance of its `input_class`. A docstring would be shown in the API's description.
    input_class: Any
    annotations: dict[str, Annotation]

    def validate(self, data: dict[str, Any]) -> Any:
        return self.input_class(**{name: self.annotations[name].read(value) for name, value in data.items()})


_serializers: dict[Any, type[InputSerializer]] = {}


def serializer_of(input_class: Any) -> type[InputSerializer]:
    """`input_class` as a DRF serializer, described in the API by the class's docstring and `Help`."""
    if input_class not in _serializers:
        _serializers[input_class] = _make_serializer(input_class)
    return _serializers[input_class]


def _make_serializer(input_class: Any) -> type[InputSerializer]:
    known, defaults = annotations(input_class), _defaults(input_class)
    attributes = {
        "input_class": input_class,
        "annotations": known,
        "__doc__": _docstring(input_class),
        "__module__": input_class.__module__,
        **{name: one.serializer_field(**_serializer_options(defaults[name])) for name, one in known.items()},
    }
    return type(f"{input_class.__name__}Serializer", (InputSerializer,), attributes)


def _docstring(input_class: Any) -> str | None:
    """The one that was written; `dataclass` makes up another, of the signature."""
    text: str = input_class.__doc__ or ""
    return None if text.startswith(f"{input_class.__name__}(") else text


def _serializer_options(default: Any) -> dict[str, Any]:
    if default is MISSING:
        return {}
    if default in (None, UNCHANGED):
        return {"required": False}
    return {"required": False, "default": default, **({"allow_blank": True} if default == "" else {})}


def form_field(input_class: Any, name: str, *, label: str, **options: Any) -> Any:
    """One field of a form, for forms that have others too. `options` override what the declaration says."""
    default = _defaults(input_class)[name]
    said: dict[str, Any] = {"label": label, "required": default is MISSING}
    if default is not MISSING and default not in (None, "", UNCHANGED) and not callable(default):
        said["initial"] = default
    return annotations(input_class)[name].form_field(**{**said, **options})


def form_of(
    input_class: Any, labels: Mapping[str, str], help: Mapping[str, str] | None = None
) -> type[forms.Form]:
    """A form with the labelled fields, in the order of their labels."""
    texts = help or {}
    made = {
        name: form_field(input_class, name, label=label, help_text=texts.get(name, ""))
        for name, label in labels.items()
    }
    return type(f"{input_class.__name__}Form", (forms.Form,), made)


def read_body(input_class: type[T], body: Any) -> T:
    """A request's body as an `input_class`. InvalidInput names every wrong and every unknown field."""
    serializer_class = serializer_of(input_class)
    read: T = validated(serializer_class, body)
    return read


def read_form(input_class: type[T], form: forms.Form, **others: Any) -> T:
    """A valid form as an `input_class`, with `others` for what it does not have; empty numbers and choices
    take their default."""
    known = annotations(input_class)
    given = {name: value for name, value in form.cleaned_data.items() if name in known and value is not None}
    return input_class(**{name: known[name].read(value) for name, value in {**given, **others}.items()})
