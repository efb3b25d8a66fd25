"""The tool loop: which tools are offered and run, and which results are sent to the model."""

from typing import Any

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.recorded import kind
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient, content, data_of
from gateway.tests.replayed_librechat.tests.scripted_egress import (
    Reply,
    ScriptedEgress,
    more_arguments,
    text,
    tool_call,
)

CALC = {"ephemeralAgent": {"mcp": ["calc"]}}


async def test_tools_are_offered_only_to_a_turn_that_requests_them(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    await alice.turn("with", **CALC)
    await alice.turn("without")
    await alice.turn("unknown", ephemeralAgent={"mcp": ["nope"]})
    offered = [tool["function"]["name"] for tool in egress.requests[0].body["tools"]]
    assert offered == ["add_mcp_calc", "fail_mcp_calc"]
    assert ["tools" in call.body for call in egress.requests] == [True, False, False]


async def test_a_tools_output_goes_back_to_the_model(alice: EngineClient, egress: ScriptedEgress) -> None:
    seen = await alice.turn('use tool add {"a": 2, "b": 40}', **CALC)
    assert _outputs(seen) == ["42.0"]
    assert len(data_of(seen, "on_token_usage")) == 2
    asked, answered = egress.requests[1].body["messages"][1:]
    assert asked == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "add_mcp_calc", "arguments": '{"a":2,"b":40}'},
            }
        ],
    }
    assert answered == {"role": "tool", "tool_call_id": "call_1", "content": "42.0"}
    assert egress.requests[0].headers["x-message"] == egress.requests[1].headers["x-message"]


async def test_arguments_may_arrive_in_pieces_and_calls_interleaved(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    pieces = [
        *text("Let me see. "),
        tool_call("add_mcp_calc", "", "call_a", 0),
        tool_call("add_mcp_calc", "", "call_b", 1),
        more_arguments('{"a": 1,', 0),
        more_arguments('{"a": 3, "b": 4}', 1),
        more_arguments(' "b": 2}', 0),
    ]
    egress.replies = [Reply(pieces), Reply(text("Done."))]
    seen = await alice.turn("sums", **CALC)
    assert _outputs(seen) == ["3.0", "7.0"]
    assert [part["type"] for part in content(seen)] == ["text", "tool_call", "tool_call", "text"]
    assert [kind(frame) for frame in seen].count("on_run_step_delta") == 5
    asked, *answers = egress.requests[1].body["messages"][1:]
    assert asked["content"] == "Let me see. "
    assert [call["id"] for call in asked["tool_calls"]] == ["call_a", "call_b"]
    assert [answer["tool_call_id"] for answer in answers] == ["call_a", "call_b"]


async def test_a_failing_and_an_unknown_tool_answer_with_their_error(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    calls = [
        tool_call("fail_mcp_calc", '{"reason": "boom"}', "call_a", 0),
        tool_call("rm_mcp_calc", "{}", "call_b", 1),
        tool_call("add_mcp_calc", "not json", "call_c", 2),
    ]
    egress.replies = [Reply(calls)]
    assert _outputs(await alice.turn("try", **CALC)) == [
        "Error executing tool fail",
        'Error processing tool: Tool "rm_mcp_calc" not found.',
        "Error: Received tool input did not match expected schema",
    ]


async def test_the_loop_is_bounded(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    librechat.recursion_limit = 3
    egress.replies = [Reply([tool_call("add_mcp_calc", '{"a": 1, "b": 1}', f"call_{n}")]) for n in range(9)]
    seen = await alice.turn("for ever", **CALC)
    assert len(egress.requests) == 3
    assert "Recursion limit of 3 reached" in content(seen)[-1]["error"]


async def test_a_refusal_during_the_loop_keeps_earlier_results(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    call = tool_call("add_mcp_calc", '{"a": 1, "b": 1}')
    egress.replies = [Reply([call]), Reply(status=402, message="budget exhausted")]
    parts = content(await alice.turn("sum", **CALC))
    assert [part["type"] for part in parts] == ["tool_call", "error"]
    assert parts[0]["tool_call"]["output"] == "2.0"


def _outputs(seen: list[Any]) -> list[str]:
    completed = data_of(seen, "on_run_step_completed")
    return [data["result"]["tool_call"]["output"] for data in completed]
