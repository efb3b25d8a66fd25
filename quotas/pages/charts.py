"""Charts drawn on the server: bars as SVG, in a box of fixed size that scales with the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from quotas.usage import Group

WIDTH, HEIGHT = 960, 160  # of the drawing, in its own units
GAP = 0.25  # of a bar's place


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's bar, with what it says to who points at it."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of some days, and the same in a sentence for who cannot see them."""

    bars: list[Bar]
    edges: list[str]  # the first day and the last
    highest: int
    text: str
    width: int = WIDTH
    height: int = HEIGHT


def day_chart(days: Sequence[Group]) -> Chart:
    """Tokens by day. Bars reach from the ground to the highest day; a day with any use is seen."""
    highest = max((day.used.tokens for day in days), default=0)
    place = WIDTH / max(1, len(days))
    bars = [_bar(number * place, place, day, highest) for number, day in enumerate(days) if day.used.tokens]
    edges = [_short(day.key) for day in (days[0], days[-1])] if days else []
    return Chart(bars=bars, edges=edges, highest=highest, text=_sentence(days, highest))


def _bar(left: float, place: float, day: Group, highest: int) -> Bar:
    height = max(2.0, HEIGHT * day.used.tokens / highest)
    return Bar(
        x=round(left + place * GAP / 2, 2),
        y=round(HEIGHT - height, 2),
        width=round(place * (1 - GAP), 2),
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
