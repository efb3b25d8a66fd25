"""Clients' tools in the Responses API: their calls, results and reasoning."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response

from accounts.tests.cast import Cast
from gateway.api.responses.tests.package_client import (
    AGENTS,
    CALL,
    PATCH,
    WEATHER,
    checked,
    deltas,
    rebuilt,
    stream,
)
from gateway.api.tests.raw_provider import RawProvider
from gateway.models import Conversation
from gateway.providers.tests import scripted_anthropic as claude
from gateway.tests.served import Served
from kit.tenancy import tenant_scope


@pytest.mark.parametrize("model", ["gpt", "claude"])
def test_a_tool_loop_keeps_reasoning_calls_and_results(
    alice: openai.OpenAI, raw: RawProvider, cast: Cast, model: str
) -> None:
    """Stateless: the client sends everything back, also what the provider wants of its reasoning."""
    calls = [
        {**CALL, "extra_content": {"google": {"thought_signature": "sig-call"}}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {
            "index": 1,
            "id": "call_2",
            "type": "function",
            "function": {"name": "apply_patch", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '"Oslo"}'}},
        {"index": 1, "function": {"arguments": '{"input": "*** Begin\\n"}'}},
        {"index": 2, "id": "call_3", "function": {"name": "agents__spawn", "arguments": "{}"}},
    ]
    detail = {"type": "reasoning.text", "text": "Hmm.", "signature": "sig", "format": "anthropic-claude-v1"}
    compatible = deltas(
        {"reasoning_content": "Hmm.", "reasoning_details": [detail]},
        {"content": "Let me look."},
        *({"tool_calls": [call]} for call in calls),
        finish="tool_calls",
    )
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    anthropic = [
        claude.start(),
        claude.block(
            0,
            thinking,
            {"type": "thinking_delta", "thinking": "Hmm."},
            {"type": "signature_delta", "signature": "sig"},
        ),
        claude.text_block(1, "Let me look."),
        claude.tool_block(2, "call_1", "get_weather", '{"city":', '"Oslo"}'),
        claude.tool_block(3, "call_2", "apply_patch", '{"input": "*** Begin\\n"}'),
        claude.tool_block(4, "call_3", "agents__spawn"),
        claude.end("tool_use"),
    ]
    last = {
        "gpt": deltas({"content": "Done."}),
        "claude": [claude.start(), claude.text_block(0, "Done."), claude.end()],
    }
    raw.answers({"gpt": compatible, "claude": anthropic}[model], last[model])
    request: dict[str, Any] = {
        "model": model,
        "tools": [WEATHER, PATCH, AGENTS],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "parallel_tool_calls": True,
    }
    asked: list[Any] = [{"type": "message", "role": "user", "content": "Weather?"}]
    events = stream(alice, input=asked, **request)
    output = rebuilt(events)
    shown = [item for item in output if item["type"] != "reasoning" or item["summary"]]
    assert [item["type"] for item in shown] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
        "function_call",
    ]
    reasoning, message, weather, patch, spawn = shown
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert "sig" not in json.dumps(output)
    assert message["content"][0]["text"] == "Let me look."
    assert (weather["name"], weather["arguments"]) == ("get_weather", '{"city":"Oslo"}')
    assert (patch["name"], patch["input"]) == ("apply_patch", "*** Begin\n")
    assert (spawn["name"], spawn["namespace"], spawn["call_id"]) == ("spawn", "agents", "call_3")
    outputs = [
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "Sun"}],
        },
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "ok"},
        {"type": "function_call_output", "call_id": "call_3", "output": "7"},
    ]
    answer = checked(alice.responses.create(input=[*asked, *output, *outputs], **request))
    assert answer.output_text == "Done."
    first, second = raw.requests
    assert {tool.get("name") or tool["function"]["name"] for tool in first["tools"]} == {
        "get_weather",
        "apply_patch",
        "agents__spawn",
    }
    assert "start: PATCH" in json.dumps(first["tools"])
    written = json.dumps(second["messages"])
    assert '"sig"' in written
    if model == "gpt":
        reply = second["messages"][1]
        assert (reply["content"], reply["reasoning_content"]) == ("Let me look.", "Hmm.")
        assert reply["reasoning_details"] == [detail]
        assert reply["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig-call"}}
        assert [call["id"] for call in reply["tool_calls"]] == ["call_1", "call_2", "call_3"]
        assert json.loads(reply["tool_calls"][1]["function"]["arguments"]) == {"input": "*** Begin\n"}
        assert [m["content"] for m in second["messages"][2:]] == ["Sun", "ok", "7"]
    else:
        assert [block["type"] for block in second["messages"][1]["content"]] == [
            "thinking",
            "text",
            *["tool_use"] * 3,
        ]
    with tenant_scope(cast.alice.principal.tenant):
        assert not Conversation.objects.exists(), "store is false"


def test_codex_gets_its_tools_except_those_that_no_model_here_has(
    server: Served, raw: RawProvider, cast: Cast
) -> None:
    """What codex 0.171 sends: it offers web search with every request."""
    raw.answers(deltas({"content": "Done."}))
    request = {
        "model": "gpt",
        "input": [
            {
                "type": "message",
                "id": "msg_a",
                "role": "developer",
                "content": [{"type": "input_text", "text": "A"}],
            },
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "B"}, {"type": "input_text", "text": "C"}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
        ],
        "tools": [
            WEATHER,
            AGENTS,
            {"type": "local_shell"},
            {"type": "web_search", "external_web_access": True},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "client_metadata": {"session_id": "s"},
    }
    shell = {"command": ["ls", "-l"], "timeout_ms": 1000}
    call = {"index": 0, "id": "c1", "function": {"name": "local_shell", "arguments": json.dumps(shell)}}
    raw.answers(deltas({"tool_calls": [call]}, finish="tool_calls"), deltas({"content": "Done."}))
    headers = {**cast.alice.headers, "originator": "codex_exec"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as codex:
        answer = codex.post("/v1/responses", json=request)
        assert answer.headers["x-switchyard-tools-left-out"] == "web_search"
        response = Response.model_validate(answer.json())
        assert [tool.type for tool in response.tools] == ["function", "namespace", "local_shell"]
        [item] = answer.json()["output"]
        assert (item["type"], item["action"]["command"]) == ("local_shell_call", ["ls", "-l"])
        result = {"type": "local_shell_call_output", "call_id": "c1", "id": "c1", "output": "made.txt"}
        more = {**request, "input": [*request["input"], item, result]}  # type: ignore[misc]
        assert codex.post("/v1/responses", json=more).json()["status"] == "completed"
    first, second = raw.requests
    assert first["messages"][0] == {"role": "system", "content": "A\n\nB\n\nC"}
    assert [tool["function"]["name"] for tool in first["tools"]] == [
        "get_weather",
        "agents__spawn",
        "local_shell",
    ]
    assert "client_metadata" not in first
    assert json.loads(second["messages"][2]["tool_calls"][0]["function"]["arguments"])["command"] == [
        "ls",
        "-l",
    ]
    assert second["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": "made.txt"}
