"""Replaces the `{{variables}}` of a prompt by values, and does nothing else: no template can run code."""

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from kit.errors import InvalidInput
from kit.fields import Choice, Items, Line, Slug, String, plain_lines
from kit.json_input import is_storable

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
VARIABLE = re.compile(r"\{\{[ \t]*([a-z][a-z0-9_]{0,39})[ \t]*\}\}")
TYPES = ("text", "multiline", "number", "boolean", "choice")
LONGEST_TEXT = 100_000  # characters of a prompt
LONGEST_VALUE = 100_000
LONGEST_RENDERED = 200_000  # the longest message
MOST_VARIABLES, MOST_OPTIONS = 50, 100
LARGEST_NUMBER = 10**15


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a prompt; `default` None: it has none. An empty `label` means the name."""

    name: Annotated[str, Slug(40)]
    type: Annotated[str, Choice(TYPES)] = "text"
    label: Annotated[str, Line(100)] = ""
    required: bool = True
    default: Any = None
    options: Annotated[tuple[Annotated[str, String(200)], ...], Items(most=MOST_OPTIONS)] = field(default=())

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Variable":
        return cls(**{**data, "options": tuple(data.get("options") or ())})

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "options": list(self.options)}

    def with_plain_lines(self) -> "Variable":
        """With the line ends of its default normalised, as those of a prompt's text are."""
        is_text = isinstance(self.default, str)
        return replace(self, default=plain_lines(self.default)) if is_text else self

    def problem_of(self, value: Any) -> str:
        """Why the value is not valid; empty if it is."""
        match self.type:
            case "number":
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                is_exact = is_number and abs(value) <= LARGEST_NUMBER  # a float holds all its digits
                return "" if is_exact else "This must be a number."
            case "boolean":
                return "" if isinstance(value, bool) else "This must be true or false."
            case "choice":
                return "" if value in self.options else f"Choose one of: {', '.join(self.options)}."
        if not isinstance(value, str) or not is_storable(value):
            return "This must be text."
        if self.type == "text" and "\n" in value:
            return "This must be one line."
        return "" if len(value) <= LONGEST_VALUE else f"Use at most {LONGEST_VALUE} characters."


def check_prompt(text: str, variables: list[Variable]) -> None:
    """InvalidInput for malformed or undefined variables in the text, and for invalid definitions."""
    wrong: dict[str, Any] = {}
    rest = VARIABLE.sub("", text)
    if "{{" in rest:
        wrong["text"] = ["Write a variable as {{name}}, with nothing but its name."]
    named = {variable.name for variable in variables}
    unknown = sorted(set(VARIABLE.findall(text)) - named)
    if unknown:
        wrong["text"] = [
            f"Undefined variables: {', '.join(unknown)}. Add them below, or remove them from the text."
        ]
    if len(text) > LONGEST_TEXT or not text.strip():
        wrong["text"] = [f"Write 1 to {LONGEST_TEXT} characters."]
    if not is_storable(text):
        wrong["text"] = ["This must be text."]
    if len(variables) > MOST_VARIABLES or len(named) != len(variables):
        wrong["variables"] = [f"Use at most {MOST_VARIABLES} variables, each with a different name."]
    for variable in variables:
        if problem := _problem_of(variable):
            wrong[_error_key(variable.name)] = [problem]
    if wrong:
        raise InvalidInput(**wrong)


def _problem_of(variable: Variable) -> str:
    if not NAME.fullmatch(variable.name):
        return "A name has up to 40 lowercase letters, digits and underscores, and starts with a letter."
    if variable.type not in TYPES:
        return f"The type must be one of: {', '.join(TYPES)}."
    if not all(map(is_storable, (variable.label, *variable.options))):
        return "The label and options must be text."
    if variable.type == "choice" and not 0 < len(variable.options) <= MOST_OPTIONS:
        return f"Enter 1 to {MOST_OPTIONS} options."
    return variable.problem_of(variable.default) if variable.default is not None else ""


def render(text: str, variables: list[Variable], given: dict[str, Any]) -> str:
    """The text with its variables replaced; braces within a value are left as they are.

    InvalidInput names each wrong value as `variables.<name>`.
    """
    known = {variable.name: variable for variable in variables}
    wrong = {_error_key(name): ["The prompt has no such variable."] for name in given if name not in known}
    values: dict[str, str] = {}
    for name, variable in known.items():
        value = given.get(name)
        value = variable.default if value is None or value == "" else value
        if value is None:
            if variable.required:
                wrong[_error_key(name)] = ["This is required."]
            values[name] = ""
        elif problem := variable.problem_of(value):
            wrong[_error_key(name)] = [problem]
        else:
            values[name] = _written(value)
    if wrong:
        raise InvalidInput(**wrong)
    if _length(text, values) > LONGEST_RENDERED:
        raise InvalidInput(variables=[f"The text would be longer than {LONGEST_RENDERED} characters."])
    return VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


def _error_key(name: str) -> str:
    """A variable's key in error details; clients can send any name."""
    return f"variables.{name}"[:60].encode(errors="replace").decode()


def _length(text: str, values: dict[str, str]) -> int:
    """Of the rendered text, counted before it is built: many uses of one long value are gigabytes."""
    uses = (found for found in VARIABLE.finditer(text) if found[1] in values)
    return len(text) + sum(len(values[found[1]]) - len(found[0]) for found in uses)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
