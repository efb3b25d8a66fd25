"""A compatible request uses the tools of the workspace's MCP servers, under the workspace's rules."""

import json
from typing import Any

import pytest

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.tool_setup import MODEL, asks_for, say
from gateway.turns.workspace_tools import MOST_SERVERS, ChosenServer, split_tools
from kit.errors import InvalidInput
from quotas.models import UsageRecord

URL = "/v1/chat/completions"
CALCULATOR: dict[str, Any] = {"type": "mcp", "server_label": "calculator"}
OWN = {"type": "function", "function": {"name": "mine", "parameters": {"type": "object"}}}


def asked(*tools: Any, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "2 + 40?"}], "tools": tools, **fields}


@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ({}, None),
        ({"require_approval": "never", "server_description": "Sums."}, None),
        ({"allowed_tools": None}, None),
        ({"allowed_tools": []}, ()),
        ({"allowed_tools": ["add", "wipe"]}, ("add", "wipe")),
        ({"allowed_tools": {"tool_names": ["add"]}}, ("add",)),
    ],
)
def test_a_server_is_chosen_with_all_or_some_of_its_tools(
    tool: dict[str, Any], names: tuple[str, ...] | None
) -> None:
    assert split_tools([OWN, CALCULATOR | tool]) == ([OWN], (ChosenServer("calculator", names),))


@pytest.mark.parametrize(
    ("tools", "field"),
    [
        ([{"type": "mcp"}], "tools[0].server_label"),
        ([{"type": "mcp", "server_label": ""}], "tools[0].server_label"),
        ([{"type": "mcp", "server_label": ["a"]}], "tools[0].server_label"),
        ([OWN, CALCULATOR | {"server_url": "https://example.com"}], "tools[1].server_url"),
        ([CALCULATOR | {"headers": {"Authorization": "x"}}], "tools[0].headers"),
        ([CALCULATOR | {"authorization": "x"}], "tools[0].authorization"),
        ([CALCULATOR | {"connector_id": "connector_gmail"}], "tools[0].connector_id"),
        ([CALCULATOR | {"allowed_tools": "add"}], "tools[0].allowed_tools"),
        ([CALCULATOR | {"allowed_tools": [1]}], "tools[0].allowed_tools"),
        ([CALCULATOR | {"allowed_tools": {"tool_names": "add"}}], "tools[0].allowed_tools"),
        ([CALCULATOR, OWN, CALCULATOR], "tools[2].server_label"),
        ([{"type": "mcp", "server_label": str(n)} for n in range(MOST_SERVERS + 1)], "tools"),
    ],
)
def test_a_server_that_cannot_be_chosen_is_refused_by_its_field(tools: list[Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        split_tools(tools)
    assert list(refusal.value.details) == [field]


@pytest.mark.parametrize("stream", [False, True])
def test_its_tools_run_here_and_the_client_gets_the_final_answer(
    installed: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast, stream: bool
) -> None:
    say(provider, asks_for(("add_mcp_calculator", {"a": 2, "b": 40})))
    answer = client_of(cast.bob).post(URL, json=asked(CALCULATOR, stream=stream))
    assert answer.status_code == 200
    if stream:
        chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "Hello there."
        assert not any("tool_calls" in delta for delta in deltas)
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    else:
        (choice,) = answer.json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello there.", "stop")
        assert "tool_calls" not in choice["message"]
        lines = UsageRecord.objects.all()
        assert answer.json()["usage"]["prompt_tokens"] == sum(line.input_tokens for line in lines)
    assert installed.calls == [("add", (2, 40))]
    assert provider.requests[-1]["messages"][-1]["content"] == "42.0"
    assert [tool["type"] for tool in provider.requests[0]["tools"]] == ["function"] * 4
    line = AuditEntry.objects.get(action="tool.called")
    assert (line.target, line.actor_id, line.details["outcome"]) == (
        "calculator/add",
        cast.bob.principal.user_id,
        "done",
    )
    assert UsageRecord.objects.count() == 2


def test_the_clients_own_calls_are_passed_on_after_the_workspaces_have_run(
    installed: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    say(provider, asks_for(("add_mcp_calculator", {"a": 1, "b": 1}), ("mine", {"x": 1})))
    answer = client_of(cast.bob).post(URL, json=asked(OWN, CALCULATOR))
    (choice,) = answer.json()["choices"]
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["mine"]
    assert choice["finish_reason"] == "tool_calls"
    assert installed.calls == [("add", (1, 1))]
    assert len(provider.requests) == 1


def test_only_the_tools_that_were_asked_for_are_offered_and_run(
    installed: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    say(provider, asks_for(("wipe_mcp_calculator", {"what": "notes"})))
    answer = client_of(cast.bob).post(URL, json=asked(CALCULATOR | {"allowed_tools": ["add"]}))
    assert answer.status_code == 200
    names = [tool["function"]["name"] for tool in provider.requests[0]["tools"]]
    assert names == ["add_mcp_calculator"]
    assert installed.calls == []


def test_a_tool_that_needs_approval_does_not_run_without_it_whatever_the_request_says(
    installed: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast, settings: Any
) -> None:
    settings.APPROVAL_SECONDS = 0.1
    say(provider, asks_for(("wipe_mcp_calculator", {"what": "notes"})))
    answer = client_of(cast.bob).post(URL, json=asked(CALCULATOR | {"require_approval": "never"}))
    assert answer.json()["choices"][0]["message"]["content"] == "Hello there."
    assert installed.calls == []
    assert AuditEntry.objects.get(action="tool.called").details["outcome"] == "expired"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (asked({"type": "mcp", "server_label": "nothing"}), 403, "mcp_not_enabled", None),
        (asked(CALCULATOR | {"server_url": "https://a"}), 400, "invalid_input", "tools[0].server_url"),
        (asked(OWN, {"type": "web_search"}), 400, "invalid_input", "tools[1].type"),
        (asked(CALCULATOR, {"type": "web_search"}), 400, "invalid_input", "tools[1].type"),
        (asked(CALCULATOR | {"allowed_tools": ["rob"]}), 400, "invalid_input", "tools"),
        (
            asked(CALCULATOR, {"type": "function", "function": {"name": "add_mcp_calculator"}}),
            400,
            "invalid_input",
            "tools",
        ),
        (asked(CALCULATOR, model="local"), 400, "model_lacks_ability", "tools"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_by_name(  # noqa: PLR0917 - fixtures
    installed: RealMCP,
    provider: ScriptedProvider,
    client_of: Any,
    cast: Cast,
    body: dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    answer = client_of(cast.bob).post(URL, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert provider.requests == []
