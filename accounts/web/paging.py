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
    side, sign = ("lt", "-") if newest_first else ("gt", "")
    at = _position(request.GET.get("after", ""))
    if at is not None:
        then, row_id = at
        beyond = Q(**{f"{moment}__{side}": then}) | Q(**{moment: then, f"id__{side}": row_id})
        rows = rows.filter(beyond)
    found = list(rows.order_by(f"{sign}{moment}", f"{sign}id")[: SIZE + 1])
    shown = found[:SIZE]
    kept = {name: text for name, text in request.GET.items() if name != "after"}
    more = ""
    if len(found) > SIZE:
        last = shown[-1]
        cursor = f"{getattr(last, moment).timestamp():.6f}~{last.id}"
        more = "?" + urlencode({**kept, "after": cursor})
    return PageOfRows(rows=shown, first_url="?" + urlencode(kept) if at else "", next_url=more)


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
