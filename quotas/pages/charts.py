"""Bar charts as SVG, drawn on the server in a box of fixed size that scales with the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from quotas.usage import Group

WIDTH, HEIGHT = 960, 160  # of the drawing, in its own units
GAP = 0.25  # of the width of a slot


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's bar, with its tooltip."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of some days, and a sentence for screen readers."""

    bars: list[Bar]
    edges: list[str]  # the first day and the last
    highest: int
    text: str
    width: int = WIDTH
    height: int = HEIGHT


def day_chart(days: Sequence[Group]) -> Chart:
    """Tokens by day, relative to the highest day; a day with any usage is visible."""
    highest = max((day.used.tokens for day in days), default=0)
    slot = WIDTH / max(1, len(days))
    bars = [_bar(number * slot, slot, day, highest) for number, day in enumerate(days) if day.used.tokens]
    edges = [_short(day.key) for day in (days[0], days[-1])] if days else []
    return Chart(bars=bars, edges=edges, highest=highest, text=_sentence(days, highest))


def _bar(left: float, slot: float, day: Group, highest: int) -> Bar:
    height = max(2.0, HEIGHT * day.used.tokens / highest)
    return Bar(
        x=round(left + slot * GAP / 2, 2),
        y=round(HEIGHT - height, 2),
        width=round(slot * (1 - GAP), 2),
        height=round(height, 2),
        title=f"{_short(day.key)}: {day.used.tokens:,} tokens, {day.used.calls:,} calls",
    )


def _sentence(days: Sequence[Group], highest: int) -> str:
    busy = [day for day in days if day.used.tokens]
    if not busy:
        return "No usage in this period."
    peak = next(day for day in days if day.used.tokens == highest)
    total = sum(day.used.tokens for day in days)
    return f"{total:,} tokens on {len(busy)} of {len(days)} days. Most on {_short(peak.key)}: {highest:,}."


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"
