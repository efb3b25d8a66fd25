"""A diff is line by line if that is cheap, and one block if it is not."""

import difflib
import time

from hypothesis import given
from hypothesis import strategies as st

from workspaces.diffs import diff_lines

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d e"]), max_size=40)


@given(LINES, LINES)
def test_it_equals_pythons_own_diff(before: list[str], after: list[str]) -> None:
    assert diff_lines(before, after) == list(difflib.unified_diff(before, after, lineterm=""))[2:]


def test_reordered_lines_are_compared_quickly() -> None:
    lines = [f"l{number}" for number in range(14_000)]  # some ninety kilobytes
    begun = time.monotonic()
    diff = diff_lines(["head", *lines, "tail"], ["head", *lines[1::2], *lines[::2], "tail"])
    assert time.monotonic() - begun < 2  # without the bound: twenty
    assert diff[:3] == ["@@ -1,14002 +1,14002 @@", " head", "-l0"]
    assert diff[-2:] == ["+l13998", " tail"]
    assert len(diff) == 1 + 2 + 2 * len(lines)


def test_a_long_text_with_a_few_changes_is_compared_line_by_line() -> None:
    before = [f"line {number}" for number in range(5_000)]
    after = [f"{line}!" if at % 500 == 0 else line for at, line in enumerate(before)]
    diff = diff_lines(before, after)
    assert [line for line in diff if line[0] in "-+"][:2] == ["-line 0", "+line 0!"]
    assert sum(line[0] in "-+" for line in diff) == 20
