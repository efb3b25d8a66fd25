"""The workspace's MCP tools in the Responses API: real servers over real HTTP, with rules and approvals."""

from typing import Any
from uuid import UUID

import openai
import pytest
from openai.types.responses import Response

from accounts.tests.cast import Cast
from gateway.api.responses.tests.package_client import WEATHER, rebuilt, stream
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_setup import MODEL, asks_for, say

CALCULATOR: dict[str, Any] = {"type": "mcp", "server_label": "calculator", "require_approval": "never"}


@pytest.fixture
def alice(server: Served, cast: Cast) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token, max_retries=0) as client:
        yield client


def test_a_response_calls_the_workspaces_tools_and_returns_the_clients_own_calls(
    installed: RealMCP, provider: ScriptedProvider, alice: openai.OpenAI
) -> None:
    say(
        provider,
        asks_for(("add_mcp_calculator", {"a": 2, "b": 40}), ("nothing_mcp_calculator", {})),
        asks_for(("get_weather", {"city": "Oslo"})),
    )
    events = stream(alice, model=MODEL, input="2 + 40?", tools=[CALCULATOR, WEATHER], tool_choice="required")
    response = events[-1].response
    assert rebuilt(events) == [item.to_dict() for item in response.output]
    listed, added, failed, own = response.output
    assert (listed.type, listed.server_label) == ("mcp_list_tools", "calculator")
    assert "add" in {tool.name for tool in listed.tools}
    assert (added.type, added.name, added.output, added.status) == ("mcp_call", "add", "42.0", "completed")
    assert (failed.status, failed.output, failed.error.type) == ("failed", None, "mcp_tool_execution_error")
    assert (own.type, own.name, own.status) == ("function_call", "get_weather", "completed")
    types = [event.type for event in events]
    assert types.index("response.mcp_call.in_progress") < types.index("response.mcp_call.completed")
    first, second = provider.requests
    assert first["tool_choice"] == "required"
    assert "tool_choice" not in second, "it would call tools forever"

    result: Any = {"type": "function_call_output", "call_id": own.call_id, "output": "sun"}
    more = alice.responses.create(model=MODEL, input=[result], previous_response_id=response.id)
    assert more.output_text == "Hello there."
    sent = provider.requests[-1]["messages"]
    assert next(m["content"] for m in sent if m["role"] == "tool") == "42.0"
    stored = Response.model_validate(alice.responses.retrieve(response.id).to_dict())
    assert stored.output == response.output[1:]


def test_a_call_waits_for_its_approval(
    installed: RealMCP, provider: ScriptedProvider, alice: openai.OpenAI, client_of: Any, cast: Cast
) -> None:
    say(provider, asks_for(("wipe_mcp_calculator", {"what": "disk"})))
    rest = client_of(cast.alice)
    turn_ids: list[UUID] = []

    def answer(event: dict[str, Any]) -> None:
        if event["type"] == "response.created":
            turn_ids.append(UUID(event["response"]["id"].removeprefix("resp_")))
        item = event.get("item", {})
        if event["type"] == "response.output_item.done" and item["type"] == "mcp_approval_request":
            approval = item["id"].removeprefix("mcpr_")
            path = f"/v1/chat/turns/{turn_ids[0]}/approvals/{approval}"
            assert rest.post(path, json={"decision": "allow"}).status_code == 200

    events = stream(alice, on_event=answer, model=MODEL, input="Wipe", tools=[CALCULATOR])
    by_type = {item.type: item for item in events[-1].response.output}
    assert by_type["mcp_approval_request"].id == by_type["mcp_call"].approval_request_id
    assert by_type["mcp_call"].output == "disk is gone"
