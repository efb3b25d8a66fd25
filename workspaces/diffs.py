"""Compares two texts line by line, as a unified diff."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Any

KINDS = {"+": "added", "-": "removed", "@": "place"}  # by the first character of a line
MOST_WORK = 2_000_000  # pairs of lines that are compared: a fraction of a second


def diff_lines(before: list[str], after: list[str], context: int = 3) -> list[str]:
    """Lines of a unified diff, without its head.

    Texts that would take too long to compare (thousands of lines in another order) are shown as one block
    that replaces another, between their common beginning and end.
    """
    matcher = _BoundedMatcher(before, after)
    try:
        groups = list(matcher.get_grouped_opcodes(context))
    except _TooMuchWork:
        matcher.opcodes = _one_block(before, after)
        groups = list(matcher.get_grouped_opcodes(context))
    return [line for group in groups for line in _hunk(before, after, group)]


def shown_diff(lines: list[str]) -> list[dict[str, str]]:
    """Each line with its kind: `added`, `removed`, `place` (a line number), or empty if unchanged."""
    return [{"text": line, "kind": KINDS.get(line[:1], "")} for line in lines]


Opcode = tuple[str, int, int, int, int]  # tag, first and last line in before, first and last in after


class _TooMuchWork(Exception):
    """These texts are too different, or too long, to compare line by line."""


class _BoundedMatcher(SequenceMatcher[str]):
    """Python's own is quadratic for different texts: this one counts its work, and stops."""

    a: list[str]
    b2j: dict[str, list[int]]  # the positions of each line of b
    opcodes: list[Opcode]  # the result, once computed

    def __init__(self, before: list[str], after: list[str]) -> None:
        super().__init__(None, before, after)
        candidates = (1 + len(self.b2j.get(line, ())) for line in before)
        self.work_before = [0, *accumulate(candidates)]  # to compare all lines before this one
        self.left = MOST_WORK

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Any:
        end = len(self.a) if ahi is None else ahi
        self.left -= self.work_before[end] - self.work_before[alo]
        if self.left < 0:
            raise _TooMuchWork
        return super().find_longest_match(alo, ahi, blo, bhi)


def _one_block(before: list[str], after: list[str]) -> list[Opcode]:
    head = _common_lines(before, after)
    tail = _common_lines(before[head:][::-1], after[head:][::-1])
    ends = len(before) - tail, len(after) - tail
    parts: list[Opcode] = [
        ("equal", 0, head, 0, head),
        ("replace", head, ends[0], head, ends[1]),
        ("equal", ends[0], len(before), ends[1], len(after)),
    ]
    return [part for part in parts if part[1] < part[2] or part[3] < part[4]]


def _common_lines(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines at the beginning are the same."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(before), len(after)))


def _hunk(before: list[str], after: list[str], group: Sequence[Opcode]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_span(first[1], last[2])} +{_span(first[3], last[4])} @@"
    for tag, begin, end, begin_after, end_after in group:
        if tag == "equal":
            yield from (f" {line}" for line in before[begin:end])
            continue
        yield from (f"-{line}" for line in before[begin:end])
        yield from (f"+{line}" for line in after[begin_after:end_after])


def _span(begin: int, end: int) -> str:
    """Line numbers start at one; an empty range has the number of the line before it."""
    length = end - begin
    if length == 1:
        return str(begin + 1)
    return f"{begin + 1 if length else begin},{length}"
