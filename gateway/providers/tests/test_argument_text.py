"""A tool call's arguments become the text of one object, once, however they are split."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.argument_text import MOST_HELD, MOST_READ, ArgumentText
from kit.tests.cpu_time import cpu_at_most

A = '{"a": "x"}'
SPLIT = [A[:3], A[3:7], A[7:]]


def text_of(*pieces: Any) -> str:
    arguments = ArgumentText()
    return "".join([*map(arguments.add, pieces), arguments.end()])


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], "{}"),
        ([""], "{}"),
        ([None, "", None], "{}"),
        (["  "], "{}"),
        (["null"], "{}"),
        (['""'], "{}"),
        (["{}"], "{}"),
        ([{}], "{}"),
        ([A], A),
        (SPLIT, A),
        ([None, *SPLIT, None, ""], A),
        ([{"a": "x"}], A),  # an object instead of its text
        ([json.dumps(A)], A),  # a JSON string within the JSON
        ([json.dumps(A)[:4], json.dumps(A)[4:]], A),
        ([*SPLIT, A], A),  # everything again at the end
        ([*SPLIT, "\n", A], A),
        ([A, A, A], A),
        ([A[:3], A[:7], A], A),  # everything so far in each piece
        ([A + A], A),
        ([A + "\n\n"], A),
        ([A, "}"], A),
        (["\n", " {", '"a": "x"}'], '\n {"a": "x"}'),
        (['{"a": ', '{"a": ', "1}}"], '{"a": {"a": 1}}'),  # the same text as a nested object
        (['{"a": [', '{"b"', ': "}"}', "]}"], '{"a": [{"b": "}"}]}'),
        (['{"a": "', '{"', '"}'], '{"a": "{""}'),  # a text is passed on even if it is invalid
        (['{"a": "\\', '"}', '"}'], '{"a": "\\"}"}'),  # an escape in two pieces
        (['{"a": "\\\\', '"}'], '{"a": "\\\\"}'),
        (['{"é": "\U0001f600"}'], '{"é": "\U0001f600"}'),
        ([{"é": 1}], '{"é": 1}'),
        (['{"a": 1'], '{"a": 1'),  # never finished: unchanged
        (["x = ", "1"], "x = 1"),  # not JSON: unchanged
        (["[1]"], "[1]"),
        ([[1]], "[1]"),
        ([7], "7"),
        (['"plain"'], '"plain"'),
        (["nu", "ll"], "{}"),
        ([" nu", "ll \n"], "{}"),
        (["not", "hing"], "nothing"),
        ([True], "true"),
    ],
)
def test_arguments_become_one_text(pieces: list[Any], text: str) -> None:
    assert text_of(*pieces) == text


objects = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(objects, st.lists(st.integers(1, 9), max_size=30), st.booleans())
def test_any_object_survives_any_split(value: dict[str, Any], sizes: list[int], repeats: bool) -> None:
    text, pieces, at = json.dumps(value), [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    again = [text] if repeats else []
    assert text_of(*pieces, text[at:], *again) == text


def test_only_so_much_is_held_back() -> None:
    """An endless stream must reach the code that counts it."""
    arguments = ArgumentText()
    assert arguments.add("text that is not an object is passed on immediately")
    arguments, pieces = ArgumentText(), ['"', *["x" * 1000] * 200]
    passed_on = [arguments.add(piece) for piece in pieces]
    assert len("".join(passed_on)) >= 200_000 - MOST_HELD
    assert "".join([*passed_on, arguments.end()]) == "".join(pieces)


def test_repetition_of_a_complete_object_is_recognised() -> None:
    arguments = ArgumentText()
    assert not arguments.repeats("")
    for piece in SPLIT:
        arguments.add(piece)
    assert [arguments.repeats(text) for text in ("", " ", A, f"{A}\n", "{}", None)] == [True] * 4 + [
        False
    ] * 2


@pytest.mark.parametrize("piece", ["x", "{", "{}", '"', "\\", " ", '{"a'])
def test_very_many_pieces_cost_little(piece: str) -> None:
    arguments = ArgumentText()
    with cpu_at_most(2, time.thread_time):
        for _ in range(100_000):
            arguments.add(piece)
            arguments.repeats(piece)
        arguments.end()


@pytest.mark.parametrize("piece", ["x", "{", "[", '""', '"\\', "[1,", '{"a":'])
def test_one_very_long_piece_costs_little_and_is_whole(piece: str) -> None:
    written = "{" + piece * (4_000_000 // len(piece))
    with cpu_at_most(1, time.thread_time):
        assert text_of(written) == written
    assert len(written) > MOST_READ
