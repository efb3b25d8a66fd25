"""A diff is line by line if that is quick, and one block if it is not."""

import difflib
import time

from hypothesis import given
from hypothesis import strategies as st

from kit.tests.cpu_time import cpu_at_most
from workspaces.diffs import diff_lines

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d e"]), max_size=40)


@given(LINES, LINES)
def test_a_diff_is_the_same_as_pythons_own(before: list[str], after: list[str]) -> None:
    assert diff_lines(before, after) == list(difflib.unified_diff(before, after, lineterm=""))[2:]


def test_thousands_of_reordered_lines_take_no_time() -> None:
    lines = [f"l{number}" for number in range(14_000)]  # about 90 kB
    with cpu_at_most(2, time.thread_time):  # Python's own takes 20
        diff = diff_lines(["head", *lines, "tail"], ["head", *lines[1::2], *lines[::2], "tail"])
    assert diff[:3] == ["@@ -1,14002 +1,14002 @@", " head", "-l0"]
    assert diff[-2:] == ["+l13998", " tail"]
    assert len(diff) == 1 + 2 + 2 * len(lines)


def test_a_long_text_with_few_changes_is_compared_line_by_line() -> None:
    before = [f"line {number}" for number in range(5_000)]
    after = [f"{line}!" if at % 500 == 0 else line for at, line in enumerate(before)]
    diff = diff_lines(before, after)
    assert [line for line in diff if line[0] in "-+"][:2] == ["-line 0", "+line 0!"]
    assert sum(line[0] in "-+" for line in diff) == 20
