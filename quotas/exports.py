"""The ledger's lines as CSV or JSON, streamed page by page."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from django.db.models import Q
from django.http import StreamingHttpResponse

from kit.errors import NotFound
from kit.tenancy import in_public
from quotas.models import UsageRecord
from quotas.usage import Slice, names_of

PAGE = 1000
FIELDS = (
    "id",
    "at",
    "day",
    "workspace",
    "member",
    "api_key",
    "purpose",
    "model",
    "provider",
    "engine",
    "turn_id",
    "call_id",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
    "exactness",
    "flag",
    "is_correction",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # in a spreadsheet
Row = dict[str, Any]


def exported(wanted: Slice, form: str) -> StreamingHttpResponse:
    """A response that streams the lines as a file; NotFound for formats other than `csv` and `json`."""
    if form not in EXPORTS:
        raise NotFound
    content_type, lines = EXPORTS[form]
    name = f"usage-{wanted.first}-{wanted.last}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(lines(wanted), content_type=content_type, headers=headers)


async def csv_lines(wanted: Slice) -> AsyncIterator[bytes]:
    """With a header line; a text that a spreadsheet would read as a formula gets a leading quote."""
    yield _csv([FIELDS])
    async for page in _pages(wanted):
        yield _csv([[_escaped(row[name]) for name in FIELDS] for row in page])


async def json_lines(wanted: Slice) -> AsyncIterator[bytes]:
    """One document, `{"data": […]}`, with one line per row."""
    separator = b'{"data": [\n'
    async for page in _pages(wanted):
        yield separator + b",\n".join(json.dumps(row, default=str).encode() for row in page)
        separator = b",\n"
    yield b'{"data": []}\n' if separator.startswith(b"{") else b"\n]}\n"


async def _pages(wanted: Slice) -> AsyncIterator[list[Row]]:
    after: tuple[Any, int] | None = None
    while True:
        page = await in_public(read_page, wanted, after)
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = (page[-1]["day"], page[-1]["id"])


def read_page(wanted: Slice, after: tuple[Any, int] | None) -> list[Row]:
    """The page after a line's day and id, in that order; with people's and workspaces' names."""
    lines = UsageRecord.objects.filter(wanted.filters).order_by("day", "id")
    if after is not None:
        day, last = after
        lines = lines.filter(Q(day__gt=day) | Q(day=day, id__gt=last), day__gte=day)
    page = list(lines[:PAGE])
    people = names_of("member", {line.user_id for line in page})
    workspaces = names_of("workspace", {line.workspace_id for line in page})
    keys = names_of("api_key", {line.api_key_id for line in page if line.api_key_id})
    return [
        {name: getattr(line, name, None) for name in FIELDS}
        | {
            "at": line.at.isoformat(),
            "workspace": workspaces.get(line.workspace_id, str(line.workspace_id)),
            "member": people.get(line.user_id, str(line.user_id)),
            "api_key": keys.get(line.api_key_id, str(line.api_key_id)) if line.api_key_id else None,
        }
        for line in page
    ]


def _escaped(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


EXPORTS = {"csv": ("text/csv; charset=utf-8", csv_lines), "json": ("application/json", json_lines)}
