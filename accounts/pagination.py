"""Pagination by keyset: the thousandth page costs as much as the first."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest

SIZE = 50


@dataclass(frozen=True, slots=True)
class PageOfRows:
    """The rows of one page, and URLs of the first and next page; empty if there is none."""

    rows: list[Any]
    first_url: str
    next_url: str


def page_of(
    request: HttpRequest, rows: QuerySet[Any], *, moment: str = "created_at", newest_first: bool = False
) -> PageOfRows:
    """The page after `?after=`, ordered by `moment` and id, as an index of the table is."""
    sign = "-" if newest_first else ""
    cursor = request.GET.get("after", "")
    rows = rows_after(rows, cursor, moment=moment, newest_first=newest_first)
    found = list(rows.order_by(f"{sign}{moment}", f"{sign}id")[: SIZE + 1])
    shown = found[:SIZE]
    query = {name: text for name, text in request.GET.items() if name != "after"}
    more = ""
    if len(found) > SIZE:
        more = "?" + urlencode({**query, "after": cursor_of(shown[-1], moment)})
    is_first = _position(cursor) is None
    return PageOfRows(rows=shown, first_url="" if is_first else "?" + urlencode(query), next_url=more)


def rows_after(
    rows: QuerySet[Any], cursor: str, *, moment: str = "created_at", newest_first: bool = False
) -> QuerySet[Any]:
    """The rows after the cursor's, by `moment` and then id; all rows for an invalid cursor."""
    at = _position(cursor)
    if at is None:
        return rows
    side = "lt" if newest_first else "gt"
    then, row_id = at
    return rows.filter(Q(**{f"{moment}__{side}": then}) | Q(**{moment: then, f"id__{side}": row_id}))


def cursor_of(row: Any, moment: str = "created_at") -> str:
    """The cursor for a page that ends with this row."""
    return f"{getattr(row, moment).timestamp():.6f}~{row.id}"


def _position(text: str) -> tuple[datetime, UUID] | None:
    """None for an invalid cursor, which starts at the first page."""
    moment, _, row_id = text.partition("~")
    try:
        return datetime.fromtimestamp(float(moment), UTC), UUID(row_id)
    except (ValueError, OverflowError, OSError):
        return None


def searched(request: HttpRequest) -> str:
    """`?find=`, safe for a query; `?q=` is the rail's search for conversations."""
    return request.GET.get("find", "").replace("\0", "").strip()[:100]
