"""The form of a prompt, with a row of fields for each variable."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict

from kit.fields import one_line, plain_lines
from kit.inputs import form_field, read_form
from workspaces.prompts.inputs import PromptChange, PromptInput
from workspaces.prompts.render import MOST_VARIABLES, VARIABLE, Variable

Row = dict[str, Any]  # a variable as text, by the names of its fields
COLUMNS = ("name", "type", "label", "default", "options", "required")


class PromptForm(forms.Form):
    title = form_field(PromptInput, "title", label="Title")
    slug = form_field(
        PromptInput,
        "slug",
        label="API name",
        help_text="Lowercase letters, digits and hyphens. Cannot be changed later.",
    )
    description = form_field(PromptInput, "description", label="Description")
    text = form_field(PromptInput, "text", label="Text", help_text="Write {{name}} to add a variable.")
    visibility = form_field(PromptInput, "visibility", label="Visible to", required=True)
    tags = forms.CharField(
        label="Tags", max_length=1000, required=False, help_text="Separate tags with commas."
    )
    note = form_field(PromptChange, "note", label="Change note")

    def prompt(self, variables: list[Variable]) -> PromptInput:
        return read_form(PromptInput, self, variables=variables, tags=self._tags())

    def change(self, variables: list[Variable]) -> PromptChange:
        return read_form(PromptChange, self, variables=variables, tags=self._tags())

    def _tags(self) -> list[str]:
        tags: list[str] = self.cleaned_data["tags"].split(",")
        return tags


def sent_rows(data: QueryDict) -> list[Row]:
    """The rows that have a name, as they were typed."""
    columns = {name: data.getlist(f"variable_{name}")[: MOST_VARIABLES + 1] for name in COLUMNS}
    rows = ({key: _cell(columns[key], at) for key in COLUMNS} for at in range(len(columns["name"])))
    return [row | {"name": row["name"].strip()} for row in rows if row["name"].strip()]


def _cell(column: list[str], at: int) -> str:
    return plain_lines(column[at].replace("\0", "")) if at < len(column) else ""


def rows_of(stored: Sequence[dict[str, Any]]) -> list[Row]:
    """Stored variables as the form shows them, and as it sends them back untouched."""
    return [
        {
            **data,
            "label": one_line(data["label"]),
            "default": "" if data["default"] is None else plain_lines(str(data["default"])),
            "options": plain_lines("\n".join(data["options"])),
            "required": "yes" if data["required"] else "no",
        }
        for data in stored
    ]


def new_rows(form: PromptForm, rows: list[Row]) -> list[Row]:
    """Rows for variables that are in the text but not defined yet, and two empty ones."""
    known = {row["name"] for row in rows}
    text = form.data.get("text", "") if form.is_bound else form.initial.get("text", "")
    names = [name for name in dict.fromkeys(VARIABLE.findall(text)) if name not in known]
    return [*({"name": name} for name in names[:MOST_VARIABLES]), {}, {}]


def variables_from(rows: list[Row], stored: Sequence[dict[str, Any]] = ()) -> list[Variable]:
    """The variables of the sent rows; untouched ones stay as stored: a form cannot show every value."""
    shown = zip(rows_of(stored), stored, strict=True)
    untouched = {data["name"]: data for row, data in shown if row in rows}
    return [
        Variable.from_data(untouched[row["name"]]) if row["name"] in untouched else _variable(row)
        for row in rows
    ]


def _variable(row: Row) -> Variable:
    options = (one.strip() for one in row["options"].split("\n"))
    return Variable(
        name=row["name"],
        type=row["type"],
        label=one_line(row["label"])[:100],
        required=row["required"] != "no",
        default=typed_value(row["type"], row["default"]) if row["default"] else None,
        options=tuple(one for one in options if one),
    )


def typed_value(kind: str, text: str) -> Any:
    """A form's text as the variable's type; text that is not of the type stays text, and is refused later."""
    if kind not in {"text", "multiline"}:
        text = text.strip()
    if kind == "boolean":
        return {"true": True, "on": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
    if kind == "number":
        try:
            return int(text)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                return text
    return text
