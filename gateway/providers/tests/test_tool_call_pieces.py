"""Each streamed tool call has one index, id, name and object, even if its server is sloppy."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.tool_call_pieces import LONGEST_NAME, ToolCallPieces
from gateway.providers.tool_calls import merge_tool_calls
from kit.tests.cpu_time import cpu_at_most

Piece = dict[str, Any]
X, Y = '{"x": 1}', '{"y": 2}'


def pieces_of(*pieces: Piece) -> list[Piece]:
    reader = ToolCallPieces()
    return [*(found for piece in pieces for found in reader.add(piece)), *reader.end()]


def calls_of(*pieces: Piece) -> list[tuple[str, str, str]]:
    """The id, name and arguments of each whole call; an id of ours is shown as `ours`."""
    found = pieces_of(*pieces)
    for call in (piece for piece in found if "id" in piece):
        assert call["id"], "a call always has an id"
    return [
        ("ours" if call["id"].startswith("call_") else call["id"], *call["function"].values())
        for call in merge_tool_calls([found])
    ]


def piece(name: str | None = None, arguments: Any = None, **head: Any) -> Piece:
    function = {"name": name, "arguments": arguments}
    return {**head, "function": {field: value for field, value in function.items() if value is not None}}


def test_a_call_is_passed_on_as_openai_streams_it() -> None:
    head = piece("add", "", index=0, id="a", type="function")
    assert pieces_of(head, piece(arguments='{"x":', index=0), piece(arguments=" 1}", index=0)) == [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":'}},
        {"index": 0, "function": {"arguments": " 1}"}},
    ]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([], []),
        ([piece("f", X, index=0, id="a"), piece("g", Y, index=1, id="b")], [("a", "f", X), ("b", "g", Y)]),
        # No arguments, or only `null`.
        ([piece("f", index=0, id="a")], [("a", "f", "{}")]),
        ([piece("f", None, index=0, id="a"), piece(arguments="null", index=0)], [("a", "f", "{}")]),
        # No id, an empty one, or one sent later.
        ([piece("f", X, index=0)], [("ours", "f", X)]),
        ([piece("f", X, index=0, id="")], [("ours", "f", X)]),
        ([piece("f", index=0), piece(arguments=X, index=0, id="a")], [("a", "f", X)]),
        ([piece("f", X, index=0, id=7)], [("ours", "f", X)]),
        # Two calls with one id: their results would be ambiguous.
        ([piece("f", X, index=0, id="a"), piece("g", Y, index=1, id="a")], [("a", "f", X), ("ours", "g", Y)]),
        # Id and name are repeated in each piece.
        ([piece("f", '{"x"', index=0, id="a"), piece("f", ": 1}", index=0, id="a")], [("a", "f", X)]),
        ([piece("f", X[:3], index=0, id="a"), piece("f", X, index=0, id="a")], [("a", "f", X)]),
        ([piece("f", X, index=0, id="a"), piece("f", X, index=0, id="a")], [("a", "f", X)]),
        ([piece("f", X, index=0, id="a"), piece("f", "", index=0, id="a")], [("a", "f", X)]),
        ([piece("f", index=0, id="a"), piece("", X, index=0, id="")], [("a", "f", X)]),
        # The name is split, or each piece has all of it so far.
        (
            [piece("get_", index=0, id="a"), piece("time", index=0), piece(arguments=X, index=0)],
            [("a", "get_time", X)],
        ),
        ([piece("get_", index=0, id="a"), piece("get_time", X, index=0)], [("a", "get_time", X)]),
        ([piece(" f ", X, index=0, id="a")], [("a", "f", X)]),
        # An id that changes without a name is the same call; the first one counts.
        ([piece("f", index=0, id="a"), piece(arguments=X, index=0, id="b")], [("a", "f", X)]),
        # No index, index 0 for all, an index as text.
        ([piece("f", X, id="a"), piece("g", Y, id="b")], [("a", "f", X), ("b", "g", Y)]),
        ([piece("f", X), piece("f", Y)], [("ours", "f", X), ("ours", "f", Y)]),
        ([piece("f", id="a"), piece(arguments=X)], [("a", "f", X)]),
        (
            [piece("f", id="a"), piece("g", id="b"), piece(arguments=X, id="a")],
            [("a", "f", X), ("b", "g", "{}")],
        ),
        ([piece("f", X, index=0, id="a"), piece("g", Y, index=0, id="b")], [("a", "f", X), ("b", "g", Y)]),
        ([piece("f", X, index=0), piece("g", Y, index=0)], [("ours", "f", X), ("ours", "g", Y)]),
        ([piece("f", X, index=0, id="a"), piece("f", Y, index=0, id="b")], [("a", "f", X), ("b", "f", Y)]),
        ([piece("f", index="0", id="a"), piece(arguments=X, index=0.0)], [("a", "f", X)]),
        ([piece("f", X, index=5, id="a"), piece("g", Y, index=3, id="b")], [("a", "f", X), ("b", "g", Y)]),
        (
            [piece("f", X, index=-1, id="a"), piece("g", Y, index=True, id="b")],
            [("a", "f", X), ("b", "g", Y)],
        ),
        # Pieces of two calls in turn.
        (
            [
                piece("f", X[:3], index=0),
                piece("g", Y[:3], index=1),
                piece(arguments=X[3:], index=0),
                piece(arguments=Y[3:], index=1),
            ],
            [("ours", "f", X), ("ours", "g", Y)],
        ),
        # Arguments as an object, or as a JSON string within the JSON.
        ([piece("f", {"x": 1}, index=0, id="a")], [("a", "f", X)]),
        ([piece("f", '"{\\"x\\": 1}"', index=0, id="a")], [("a", "f", X)]),
        # Without the wrapper `function`; other names for the arguments.
        ([{"id": "a", "name": "f", "arguments": X}], [("a", "f", X)]),
        ([{"id": "a", "name": "f", "input": {"x": 1}}], [("a", "f", X)]),
        ([{"id": "a", "function": {"name": "f", "parameters": {"x": 1}}}], [("a", "f", X)]),
        # Nonsense.
        ([{"index": 0, "function": "f"}], [("ours", "", "{}")]),
        ([{"index": [], "id": {}, "function": {"name": 5, "arguments": 7}}], [("ours", "", "7")]),
    ],
)
def test_calls_are_separate_and_never_joined(pieces: list[Piece], calls: list[tuple[str, str, str]]) -> None:
    assert calls_of(*pieces) == calls


def test_each_id_and_name_is_sent_once() -> None:
    repeated = [piece("f", text, index=0, id="a", type="function") for text in (X[:2], X[2:5], X[5:])]
    heads = [
        found
        for found in pieces_of(*repeated)
        if {"id", "type"} & found.keys() or "name" in found["function"]
    ]
    assert heads == [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]


def test_other_fields_are_kept_for_the_provider() -> None:
    """Gemini wants its signature back with the call, regardless of its place."""
    signed = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    for pieces in (
        [{**piece("f", X, index=0, id="a"), **signed}],
        [piece("f", X, index=0, id="a"), {**piece(index=0), **signed}],
        [piece("f", index=0, id="a"), {**piece(arguments=X, index=0), **signed}],
    ):
        (call,) = merge_tool_calls([pieces_of(*pieces)])
        assert call == {"id": "a", "type": "function", "function": {"name": "f", "arguments": X}, **signed}


def test_a_custom_tools_input_is_text() -> None:
    head = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": "*** "}}
    more = {"index": 0, "custom": {"input": "Begin"}}
    assert pieces_of(head, more) == [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "*** "}},
        {"index": 0, "custom": {"input": "Begin"}},
    ]


def test_thousands_of_calls_are_read_quickly() -> None:
    for index in ({}, {"index": 0}):
        with cpu_at_most(3, time.thread_time):
            found = calls_of(*(piece("f", id=f"c{n}", **index) for n in range(20_000)))
        assert found[-1] == ("c19999", "f", "{}")


def test_a_name_without_end_is_passed_on_and_read_quickly() -> None:
    with cpu_at_most(2, time.thread_time):
        ((_, name, arguments),) = calls_of(*(piece("x" * 50 + str(n), index=0) for n in range(40_000)))
    assert LONGEST_NAME < len(name) < LONGEST_NAME + 100
    assert arguments == "{}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "arguments"]), inner)
    ),
    max_leaves=5,
)
fields = st.sampled_from(["index", "id", "type", "function", "custom", "name", "arguments", "extra_content"])


@given(st.lists(st.dictionaries(fields, json_values), max_size=6))
def test_any_pieces_become_valid_ones(pieces: list[Piece]) -> None:
    calls = merge_tool_calls([pieces_of(*pieces)])
    ids = [call["id"] for call in calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    for call in calls:
        body = call[call["type"]]
        assert all(isinstance(value, str) for value in body.values())
