"""A diff is told line by line where that can be done at once, and as one block where it cannot."""

import difflib
import time

from hypothesis import given
from hypothesis import strategies as st

from workspaces.diffs import diff_lines

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d e"]), max_size=40)


@given(LINES, LINES)
def test_it_is_what_python_itself_tells(before: list[str], after: list[str]) -> None:
    assert diff_lines(before, after) == list(difflib.unified_diff(before, after, lineterm=""))[2:]


def test_lines_in_another_order_are_told_at_once() -> None:
    lines = [f"l{number}" for number in range(14_000)]  # some ninety kilobytes
    begun = time.monotonic()
    told = diff_lines(["head", *lines, "tail"], ["head", *lines[1::2], *lines[::2], "tail"])
    assert time.monotonic() - begun < 2  # it was twenty
    assert told[:3] == ["@@ -1,14002 +1,14002 @@", " head", "-l0"]
    assert told[-2:] == ["+l13998", " tail"]
    assert len(told) == 1 + 2 + 2 * len(lines)


def test_a_long_text_with_a_few_changes_is_told_line_by_line() -> None:
    before = [f"line {number}" for number in range(5_000)]
    after = [f"{line}!" if at % 500 == 0 else line for at, line in enumerate(before)]
    told = diff_lines(before, after)
    assert [line for line in told if line[0] in "-+"][:2] == ["-line 0", "+line 0!"]
    assert sum(line[0] in "-+" for line in told) == 20
