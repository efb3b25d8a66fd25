"""Recorded requests that are sent again get the same responses as from the real LibreChat."""

import asyncio
from itertools import groupby
from typing import Any

import pytest

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.recorded import Frame, exchanges, frames, is_last, kind
from gateway.tests.replayed_librechat.tests.conftest import SignIn
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient
from gateway.tests.replayed_librechat.tests.replay import Pair, Replay
from gateway.tests.replayed_librechat.tests.scripted_egress import Reply, ScriptedEgress, text

TURNS = [
    "chat_local_model",
    "chat_our_turn_ids",
    "chat_regenerate",
    "chat_routed",
    "chat_routed_402",
    "chat_two_turns",
    "chat_unknown_conversation",
    "chat_unknown_endpoint",
    "chat_unknown_model",
    "chat_upstream_401",
    "chat_upstream_429",
    "chat_upstream_dies",
    "chat_user_provided_key",
    "chat_with_usage",
    "mcp_with_usage",
]
# If the recorder left, stopped or replaced a turn, the number of words depends on timing.
TIME_DEPENDENT = [
    "chat_abort",
    "chat_disconnect_and_resume",
    "chat_second_turn_replaces",
    "chat_upstream_500",
]


@pytest.fixture
async def replay(librechat: ReplayedLibreChat, egress: ScriptedEgress, alice: EngineClient) -> Any:
    """Sends a recording's requests to a LibreChat with the recorder's configuration."""

    async def run(name: str) -> list[Pair]:
        recording = exchanges(name)
        for endpoint in ("Scripted", "Byok"):
            librechat.endpoints[endpoint] = ["scripted-1"]
        librechat.endpoints["Local"] = ["smollm2-135m"]
        librechat.mcp_servers = {"calc2"}
        librechat.stream_usage = "on_token_usage" in str(recording)
        if name == "chat_local_model":
            expected = frames(recording[1]["response"]["sse"])
            egress.replies = [Reply(text(*[_said(data) for _, data in expected if _said(data)]))]
        if name == "chat_upstream_500":
            librechat.retry_delay = 60
        return await Replay(alice, recording).run()

    return run


@pytest.mark.parametrize("name", TURNS)
async def test_a_recorded_turn_gets_the_same_response(name: str, replay: Any) -> None:
    for pair in await replay(name):
        _check_answer(pair)
        if pair.frames is not None:
            expected = frames(pair.recorded["sse"])
            assert [kind(frame) for frame in pair.frames] == [kind(frame) for frame in expected]
            assert _shapes(pair.frames) == _shapes(expected)
            assert _end(pair.frames[-1]) == _end(expected[-1])


@pytest.mark.parametrize("name", TIME_DEPENDENT)
async def test_a_time_dependent_turn_gets_a_similar_response(name: str, replay: Any) -> None:
    for pair in await replay(name):
        _check_answer(pair)
        if pair.frames is not None:
            expected = frames(pair.recorded["sse"])
            if is_last(expected[-1]):
                assert _without_repeats(pair.frames) == _without_repeats(expected)
                assert _shapes(pair.frames[-1:]) == _shapes(expected[-1:])
            else:
                assert [kind(frame) for frame in pair.frames] == [kind(frame) for frame in expected]


async def test_another_account_that_posts_is_answered_as_recorded(
    replay: Any, sign_in: SignIn, librechat: ReplayedLibreChat
) -> None:
    await replay("chat_regenerate")
    bob = await sign_in("Bob")
    (exchange,) = exchanges("chat_foreign_account_posts")
    request = exchange["request"]
    answer = await bob.http.post(request["path"], json=request["body"])
    expected = frames(exchange["response"]["body"])
    assert answer.status_code == 200
    assert "content-type" not in answer.headers
    assert [frame[0] for frame in frames(answer.text)] == ["message", "error"]
    assert _shape([data for _, data in frames(answer.text)]) == _shape([data for _, data in expected])
    assert "User not authorized for this conversation" in frames(answer.text)[1][1]["text"]
    assert librechat.counters["starts"] == 2


async def test_accounts_are_isolated_as_recorded(alice: EngineClient, sign_in: SignIn) -> None:
    recording = exchanges("isolation_between_accounts")
    alice.conversation = recording[0]["request"]["path"].rpartition("/")[2]
    await alice.turn("mine")
    await asyncio.sleep(0.05)
    bob = await sign_in("Bob")
    for exchange, client in zip(recording, [bob] * 4 + [alice] * 2, strict=True):
        (pair,) = await Replay(client, [exchange]).run()
        _check_answer(pair)
        if pair.status != 201:
            assert pair.body == pair.recorded["body"]


def _check_answer(pair: Pair) -> None:
    where = pair.request["method"], pair.request["path"]
    assert (where, pair.status) == (where, pair.recorded["status"])
    if kind := pair.recorded["headers"].get("content-type"):
        assert pair.content_type == kind
    if pair.frames is None:
        assert (where, _shape(pair.body)) == (where, _shape(pair.recorded["body"]))


def _end(frame: Frame) -> Any:
    """The error, or the reply's parts without ids chosen by a model."""
    if kind(frame) != "final":
        return frame[1]
    parts = frame[1]["responseMessage"]["content"]
    return [
        {**part, "tool_call": part["tool_call"] | {"id": ""}} if part["type"] == "tool_call" else part
        for part in parts
    ]


def _shapes(seen: list[Frame]) -> list[Any]:
    return [_shape(data) for _, data in seen]


def _shape(value: Any) -> Any:
    """Keys and types of values, without the values; only a regenerated reply has no expiredAt."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items() if key != "expiredAt"}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return "number" if type(value) in (int, float) else type(value).__name__


def _without_repeats(seen: list[Frame]) -> list[str]:
    return [name for name, _ in groupby(kind(frame) for frame in seen)]


def _said(data: dict[str, Any]) -> str:
    if data.get("event") != "on_message_delta":
        return ""
    said: str = data["data"]["delta"]["content"][0]["text"]
    return said
