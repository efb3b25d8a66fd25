"""Which earlier messages are sent to the model."""

import asyncio
from typing import Any

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient
from gateway.tests.replayed_librechat.tests.scripted_egress import Reply, ScriptedEgress, text

STORED = 0.05


async def test_earlier_replies_arrive_as_lists_of_parts(alice: EngineClient, egress: ScriptedEgress) -> None:
    await _turns(alice, "one", "two")
    assert _last_messages(egress) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [{"type": "text", "text": "You said: one."}]},
        {"role": "user", "content": "two"},
    ]


async def test_earlier_replies_may_arrive_as_strings(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    librechat.assistant_parts = False
    await _turns(alice, "one", "two")
    assert _last_messages(egress)[1] == {"role": "assistant", "content": "You said: one."}


async def test_errors_and_thoughts_are_left_out(alice: EngineClient, egress: ScriptedEgress) -> None:
    thinking = Reply([{"reasoning_content": "hm"}, *text("Yes.")])
    egress.replies = [Reply(status=402, message="no budget"), thinking]
    await _turns(alice, "one", "two", "three")
    assert _last_messages(egress) == [
        {"role": "user", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "three"},
    ]


async def test_tool_calls_are_sent_again(alice: EngineClient, egress: ScriptedEgress) -> None:
    await _turns(alice, 'use tool add {"a": 2, "b": 40}', "and?", ephemeralAgent={"mcp": ["calc"]})
    assert [said["role"] for said in _last_messages(egress)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert _last_messages(egress)[1]["tool_calls"][0]["function"] == {
        "name": "add_mcp_calc",
        "arguments": '{"a":2,"b":40}',
    }
    assert _last_messages(egress)[2] == {"role": "tool", "tool_call_id": "call_1", "content": "42.0"}


async def test_the_oldest_messages_are_dropped_at_the_context_limit(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    await _turns(alice, "one one one", "two", "three", maxContextTokens=6, promptPrefix="Be brief.")
    assert [said["role"] for said in _last_messages(egress)] == ["system", "assistant", "user"]
    assert _last_messages(egress)[1]["content"] == [{"type": "text", "text": "You said: two."}]


async def test_an_unknown_parent_loses_the_history(alice: EngineClient, egress: ScriptedEgress) -> None:
    await _turns(alice, "one")
    alice.parent = alice.conversation
    await _turns(alice, "two")
    assert _last_messages(egress) == [{"role": "user", "content": "two"}]


async def _turns(client: EngineClient, *texts: str, **more: Any) -> None:
    for said in texts:
        await client.turn(said, **more)
        await asyncio.sleep(STORED)


def _last_messages(egress: ScriptedEgress) -> list[dict[str, Any]]:
    """The last model call's messages."""
    messages: list[dict[str, Any]] = egress.requests[-1].body["messages"]
    return messages
