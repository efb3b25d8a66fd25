"""Values go into their places, and nothing else happens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from workspaces.prompts.rendering import Variable, check_prompt, render

NAME = Variable("name")


def test_values_stand_in_their_places() -> None:
    assert render("Dear {{ name }}, {{name}}!", [NAME], {"name": "Ada"}) == "Dear Ada, Ada!"


def test_what_a_value_holds_is_not_expanded() -> None:
    both = [NAME, Variable("other", default="secret")]
    assert render("{{name}}", both, {"name": "{{other}}"}) == "{{other}}"


@given(st.text(), st.text())
def test_no_value_reaches_another_place(first: str, second: str) -> None:
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
def test_nothing_but_an_error_of_ours_comes_of_nonsense(text: str, values: dict[str, Any]) -> None:
    kinds = ("text", "multiline", "number", "boolean")
    variables = [Variable(f"v{at}", kind, required=False) for at, kind in enumerate(kinds)]
    try:
        check_prompt(text, variables)
        render(text, variables, {**values, "v2": 1})
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (NAME, None, "required"),
        (NAME, 12, "text"),
        (NAME, "two\nlines", "one line"),
        (Variable("name", "number"), "12", "number"),
        (Variable("name", "number"), float("inf"), "number"),
        (Variable("name", "boolean"), "yes", "true or false"),
        (Variable("name", "choice", options=("a", "b")), "c", "a, b"),
    ],
)
def test_each_wrong_value_is_named(variable: Variable, value: Any, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        render("{{name}}", [variable], {"name": value})
    assert told in caught.value.details["variables.name"][0]


def test_a_value_that_nobody_asked_for_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        render("Hello", [], {"nmae": "Ada"})
    assert list(caught.value.details) == ["variables.nmae"]


@pytest.mark.parametrize(
    "text", ["{{name", "{{ name{{name}} }}", "{{name|upper}}", "{{ 1 + 1 }}", "{{other}}", " "]
)
def test_a_text_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_prompt(text, [NAME])
    assert list(caught.value.details) == ["text"]


def test_a_default_stands_in_for_what_is_missing() -> None:
    assert render("{{name}}", [Variable("name", "boolean", default=False)], {}) == "false"
