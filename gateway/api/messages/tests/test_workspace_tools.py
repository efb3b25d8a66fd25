"""The workspace's MCP tools run here, and a client sees them as Anthropic's own connector shows them."""

from typing import Any

import anthropic
import pytest
from anthropic.types.beta import BetaMessage

from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.tool_setup import MODEL, say

MCP: Any = {"type": "mcp", "server_label": "calculator"}


@pytest.mark.usefixtures("installed")
def test_a_tool_runs_here_and_its_blocks_come_back(
    alice: anthropic.Anthropic, provider: ScriptedProvider, installed: RealMCP
) -> None:
    say(
        provider,
        Script(steps=["Let me add."], calls=[("add", {"a": 1, "b": 2})], finish_reason="tool_calls"),
        Script(steps=["It is 3."]),
        Script(steps=["Yes."]),
    )
    question: Any = {"role": "user", "content": "Add 1 and 2."}
    wanted: Any = {"model": MODEL, "max_tokens": 50, "tools": [MCP]}
    answer = alice.messages.with_raw_response.create(**wanted, messages=[question])
    message = BetaMessage.model_validate_json(answer.http_response.text)
    kinds = [block.type for block in message.content]
    assert kinds == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert message.stop_reason == "end_turn"
    said: Any = [block.to_dict() for block in message.content]
    alice.messages.create(**wanted, messages=[question, {"role": "assistant", "content": said}, question])
    earlier, again = provider.requests[-2]["messages"], provider.requests[-1]["messages"]
    assert [each["role"] for each in again] == ["user", "assistant", "tool", "assistant", "user"]
    assert again[1]["tool_calls"] == earlier[1]["tool_calls"]
    assert again[2] == earlier[2]
