"""Values replace variables, and nothing else happens."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from workspaces.prompts.render import Variable, check_prompt, render

NAME = Variable("name")


def test_values_replace_variables() -> None:
    assert render("Dear {{ name }}, {{name}}!", [NAME], {"name": "Ada"}) == "Dear Ada, Ada!"


def test_braces_within_a_value_are_not_expanded() -> None:
    both = [NAME, Variable("other", default="secret")]
    assert render("{{name}}", both, {"name": "{{other}}"}) == "{{other}}"


@given(st.text(), st.text())
def test_no_value_changes_another_variable(first: str, second: str) -> None:
    variables = [Variable("a", "multiline", required=False), Variable("b", "multiline", required=False)]
    try:
        rendered = render("<{{a}}|{{b}}>", variables, {"a": first, "b": second})
    except InvalidInput:
        assert "\0" in first + second
    else:
        assert rendered == f"<{first}|{second}>"


@given(
    st.text(),
    st.dictionaries(
        st.text(), st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.lists(st.text()))
    ),
)
def test_random_input_raises_nothing_but_invalid_input(text: str, values: dict[str, Any]) -> None:
    kinds = ("text", "multiline", "number", "boolean")
    variables = [Variable(f"v{at}", kind, required=False) for at, kind in enumerate(kinds)]
    try:
        check_prompt(text, variables)
        render(text, variables, {**values, "v2": 1})
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("variable", "value", "text_part"),
    [
        (NAME, None, "required"),
        (NAME, 12, "text"),
        (NAME, "two\nlines", "one line"),
        (Variable("name", "number"), "12", "number"),
        (Variable("name", "number"), float("inf"), "number"),
        (Variable("name", "number"), float("nan"), "number"),
        (Variable("name", "number"), -(10**400), "number"),
        (NAME, "half a pair \ud800", "text"),
        (Variable("name", "multiline"), "\udfff", "text"),
        (Variable("name", "boolean"), "yes", "true or false"),
        (Variable("name", "choice", options=("a", "b")), "c", "a, b"),
    ],
)
def test_each_wrong_value_is_named(variable: Variable, value: Any, text_part: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        render("{{name}}", [variable], {"name": value})
    assert text_part in caught.value.details["variables.name"][0]


def test_a_value_for_an_unknown_variable_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        render("Hello", [], {"nmae": "Ada"})
    assert list(caught.value.details) == ["variables.nmae"]


@pytest.mark.parametrize(
    "text", ["{{name", "{{ name{{name}} }}", "{{name|upper}}", "{{ 1 + 1 }}", "{{other}}", " "]
)
def test_a_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_prompt(text, [NAME])
    assert list(caught.value.details) == ["text"]


def test_an_unprintable_name_is_replaced_in_the_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        render("Hello", [], {"\ud800": "Ada"})
    assert list(caught.value.details) == ["variables.?"]


@pytest.mark.parametrize(
    "variable",
    [
        Variable("name", label="\ud800"),
        Variable("name", default="\ud800"),
        Variable("name", "choice", options=("a", "\udc00")),
        Variable("name", "number", default=10**400),
    ],
)
def test_a_variable_that_cannot_be_stored_is_refused(variable: Variable) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_prompt("{{name}}", [variable])
    assert list(caught.value.details) == ["variables.name"]


def test_a_text_that_would_be_too_long_is_refused_before_it_is_built() -> None:
    text, long = "{{name}}" * 2_000, "x" * 100_000  # two hundred megabytes
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput) as caught:
            render(text, [NAME], {"name": long})
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert list(caught.value.details) == ["variables"]
    assert most < 10_000_000


def test_a_text_may_be_as_long_as_a_message() -> None:
    value = "x" * 100_000
    assert len(render("{{name}}{{ name }}", [NAME], {"name": value})) == 200_000
    with pytest.raises(InvalidInput):
        render("{{name}}{{name}}!", [NAME], {"name": value})


def test_a_default_replaces_a_missing_value() -> None:
    assert render("{{name}}", [Variable("name", "boolean", default=False)], {}) == "false"
