"""Lists of pages: by keyset, so that the thousandth page costs what the first does."""

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
    """Some rows, and where the next ones are; empty addresses where there are none."""

    rows: list[Any]
    first_url: str
    next_url: str


def page_of(
    request: HttpRequest, rows: QuerySet[Any], *, moment: str = "created_at", newest_first: bool = False
) -> PageOfRows:
    """By `moment` and id, in the direction that an index of the table has; `?after=` says where to go on."""
    sign = "-" if newest_first else ""
    cursor = request.GET.get("after", "")
    rows = rows_after(rows, cursor, moment=moment, newest_first=newest_first)
    found = list(rows.order_by(f"{sign}{moment}", f"{sign}id")[: SIZE + 1])
    shown = found[:SIZE]
    kept = {name: text for name, text in request.GET.items() if name != "after"}
    more = ""
    if len(found) > SIZE:
        more = "?" + urlencode({**kept, "after": cursor_of(shown[-1], moment)})
    is_first = _position(cursor) is None
    return PageOfRows(rows=shown, first_url="" if is_first else "?" + urlencode(kept), next_url=more)


def rows_after(
    rows: QuerySet[Any], cursor: str, *, moment: str = "created_at", newest_first: bool = False
) -> QuerySet[Any]:
    """Those that follow the cursor's row by `moment` and then id; all for what is no cursor of ours."""
    at = _position(cursor)
    if at is None:
        return rows
    side = "lt" if newest_first else "gt"
    then, row_id = at
    return rows.filter(Q(**{f"{moment}__{side}": then}) | Q(**{moment: then, f"id__{side}": row_id}))


def cursor_of(row: Any, moment: str = "created_at") -> str:
    """Names the row as the last one of a page."""
    return f"{getattr(row, moment).timestamp():.6f}~{row.id}"


def _position(text: str) -> tuple[datetime, UUID] | None:
    """What is none of ours begins at the beginning."""
    moment, _, row_id = text.partition("~")
    try:
        return datetime.fromtimestamp(float(moment), UTC), UUID(row_id)
    except (ValueError, OverflowError, OSError):
        return None


def searched(request: HttpRequest) -> str:
    """`?find=`, as it can be looked for; `?q=` is the rail's, for conversations."""
    return request.GET.get("find", "").replace("\0", "").strip()[:100]
