"""One declaration of an input: its serializer and its form read the same and refuse the same."""

from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any

import pytest
from django import forms
from django.http import QueryDict

from kit.errors import InvalidInput
from kit.fields import (
    UNCHANGED,
    Choice,
    Email,
    Help,
    Integer,
    Items,
    KnownSlug,
    Line,
    Nullable,
    Real,
    Secret,
    Slug,
    Text,
    Unchanged,
)
from kit.inputs import form_field, form_of, read_body, read_form, serializer_of


@dataclass(frozen=True)
class Row:
    name: Annotated[str, Slug(10)]
    default: Any = None


@dataclass(frozen=True)
class NoteInput:
    """A note."""

    title: Annotated[str, Line(10), Help("Shown in lists")]
    text: Annotated[str, Text(50)] = ""
    colour: Annotated[str, Choice(("red", "blue"))] = "red"
    tags: Annotated[tuple[Annotated[str, Choice(("new", "old"))], ...], Items(most=2)] = ()
    size: Annotated[int, Integer(1, 5)] | None = None
    heat: Annotated[float, Real(0, 1), Nullable()] | None = None
    key: Annotated[str, Secret(20)] = field(default="", repr=False)
    author: Annotated[str, Email(20)] = ""
    is_pinned: bool = False
    rows: list[Row] = field(default_factory=list)


NoteForm = form_of(
    NoteInput,
    {name: name.title() for name in ("title", "text", "colour", "tags", "size", "author", "is_pinned")},
    {"title": "Up to 10 characters."},
)


def form(query: str) -> forms.Form:
    return NoteForm(QueryDict(query))


def sent(query: str) -> NoteInput:
    filled = form(query)
    assert filled.is_valid(), filled.errors
    return read_form(NoteInput, filled)


def problems(body: Any) -> dict[str, Any]:
    with pytest.raises(InvalidInput) as refused:
        read_body(NoteInput, body)
    return refused.value.details


def test_a_body_and_a_form_are_normalised_the_same() -> None:
    body = {"title": " a    b\t", "text": "one\r\ntwo", "tags": ["new"], "size": 3}
    read = read_body(NoteInput, body)
    assert read == NoteInput(title="a b", text="one\ntwo", tags=("new",), size=3)
    assert sent("title=+a++++b%09&text=one%0D%0Atwo&tags=new&size=3") == read


def test_what_is_left_out_has_its_default() -> None:
    assert read_body(NoteInput, {"title": "a"}) == sent("title=a&colour=&size=") == NoteInput(title="a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "12345678901"),
        ("title", ""),
        ("colour", "green"),
        ("size", 9),
        ("author", "a@b"),
        ("author", f"{'a' * 20}@example.com"),
    ],
)
def test_a_body_and_a_form_are_refused_for_the_same(name: str, value: Any) -> None:
    body = {"title": "a", name: value}
    assert list(problems(body)) == [name]
    data = QueryDict(mutable=True)
    data.update(body)
    assert list(NoteForm(data).errors) == [name]


def test_a_length_counts_after_normalisation() -> None:
    assert read_body(NoteInput, {"title": "a" + " " * 20 + "b"}) == sent("title=a" + "+" * 20 + "b")


def test_null_is_refused_unless_it_is_a_value() -> None:
    assert list(problems({"title": "a", "size": None})) == ["size"]
    assert read_body(NoteInput, {"title": "a", "heat": None}) == NoteInput(title="a")


@dataclass(frozen=True)
class NoteChange:
    heat: Annotated[float, Real(0, 1), Nullable()] | Unchanged | None = UNCHANGED
    due: date | None = None
    folder: Annotated[str, KnownSlug(10)] | None = None


def test_what_null_clears_is_unchanged_if_it_is_left_out() -> None:
    assert read_body(NoteChange, {}).heat is UNCHANGED
    assert read_body(NoteChange, {"heat": None}).heat is None
    assert form_field(NoteChange, "heat", label="Heat").initial is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("due", "2026-02-28", date(2026, 2, 28)),
        ("due", "2026-02-30", None),
        ("folder", "in_box-2", "in_box-2"),
        ("folder", "../box", None),
        ("folder", "a" * 11, None),
    ],
)
def test_dates_and_slugs_are_read_the_same(name: str, text: str, value: Any) -> None:
    filled = form_of(NoteChange, {name: name})(QueryDict(f"{name}={text}"))
    if value is None:
        assert list(filled.errors) == [name]
        with pytest.raises(InvalidInput):
            read_body(NoteChange, {name: text})
    else:
        assert filled.is_valid()
        assert getattr(read_form(NoteChange, filled), name) == value
        assert getattr(read_body(NoteChange, {name: text}), name) == value


def test_nested_inputs_become_their_own_classes() -> None:
    read = read_body(NoteInput, {"title": "a", "rows": [{"name": "x", "default": [1]}]})
    assert read.rows == [Row("x", [1])]
    wrong = problems({"title": "a", "rows": [{"name": "x"}, {"nmae": 1}]})
    assert wrong["rows"] == {
        "1": {
            "name": ["This field is required."],
            "nmae": ["Unknown field. Known fields: name, default."],
        }
    }


def test_unknown_keys_are_refused_by_name_with_the_known_ones() -> None:
    wrong = problems({"title": "", "titel": 1, "rows": [{"name": "x", "nmae": 1}]})
    assert wrong["titel"] == [
        "Unknown field. Known fields: title, text, colour, tags, size, heat, key, author, is_pinned, rows."
    ]
    assert wrong["rows"] == {"0": {"nmae": ["Unknown field. Known fields: name, default."]}}
    assert wrong["title"]


@pytest.mark.parametrize("key", ["self", "text\0", "\ud800", "x" * 1000, ""])
def test_any_key_can_be_named_as_unknown(key: str) -> None:
    (name,) = problems({"title": "a", key: 1})
    assert len(name.encode()) <= 60


def test_few_of_many_unknown_keys_are_named() -> None:
    assert len(problems({"title": "a", **{f"k{number}": 1 for number in range(10_000)}})) == 20


@pytest.mark.parametrize("body", [{"title": "a", "rows": 3}, {"title": "a", "rows": "abc"}, {"title": {}}])
def test_values_of_another_type_are_invalid_input(body: Any) -> None:
    assert problems(body)


def test_a_form_has_labels_hints_and_defaults() -> None:
    fields = NoteForm().fields
    assert fields["title"].help_text == "Up to 10 characters."
    assert fields["colour"].initial == "red"
    assert serializer_of(NoteInput)().fields["title"].help_text == "Shown in lists"


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(read_body(NoteInput, {"title": "a", "key": "hidden"}))
    assert serializer_of(NoteInput)().fields["key"].write_only
    assert form_field(NoteInput, "key", label="Key").widget.attrs["autocomplete"] == "off"


def test_a_form_may_choose_the_widget_of_a_secret() -> None:
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
    field = form_field(NoteInput, "key", label="Key", widget=widget)
    assert field.widget.attrs["autocomplete"] == "new-password"


def test_a_type_without_a_rule_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Unruly:
        thing: bytes

    with pytest.raises(TypeError, match="needs a rule"):
        serializer_of(Unruly)
