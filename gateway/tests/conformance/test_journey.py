"""A journey by REST: a model and an MCP server are installed, restricted, used and charged."""

from typing import Any

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.events import STREAM, StreamEvent, body, parse
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.tool_setup import install_calculator

pytestmark = [pytest.mark.conformance, pytest.mark.slow]
WORKSPACE_URL = "/v1/workspaces/sales"
TURN = {"model": "ours", "mcps": ["calculator"], "prompt": "tidy", "variables": {"what": "notes"}}


def test_from_a_key_to_an_approved_tool_call(  # noqa: PLR0917 - fixtures
    tested: EngineUnderTest,
    calculator: RealMCP,
    provider: ScriptedProvider,
    client_of: Any,
    cast: Cast,
    settings: Any,
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)

    # A custom model: tested, private, then open to editors.
    key = {"name": "Ours", "kind": "compatible", "key": "sk-1", "base_url": f"{settings.LOCAL_MODEL_URL}/v1"}
    credential = made(alice.post(f"{WORKSPACE_URL}/credentials", json=key))
    model = {
        "credential_id": credential["id"],
        "slug": "ours",
        "upstream_name": "ours-1",
        "context_window": 100_000,
        "output_bound": 200,
        "abilities": ["tools"],
    }
    assert made(alice.post(f"{WORKSPACE_URL}/models", json=model))["enabled"] is False
    assert refusal(bob, model="ours") == "model_not_enabled"
    opened = {"enabled": True, "access": {"allow": {"roles": ["editor"]}}}
    assert alice.patch(f"{WORKSPACE_URL}/models/ours", json=opened).status_code == 200

    # An MCP server: its tools are listed, one is denied, one restricted.
    tools = made(install_calculator(alice, calculator.url))["tools"]
    assert {tool["name"]: tool["needs_approval"] for tool in tools}["wipe"] is True
    only_notes = {"argument_schema": {"properties": {"what": {"const": "notes"}}}}
    for tool, change in (("flood", {"allowed": False}), ("wipe", only_notes)):
        assert alice.patch(f"{WORKSPACE_URL}/mcps/calculator/tools/{tool}", json=change).status_code == 200

    # A prompt for everyone in the workspace.
    prompt = {
        "slug": "tidy",
        "title": "Tidy up",
        "text": "Wipe my {{what}}.",
        "variables": [{"name": "what"}],
    }
    made(alice.post(f"{WORKSPACE_URL}/prompts", json=prompt))

    # The chat: the model makes two calls, one of which the workspace does not allow.
    calls = [("wipe", {"what": "notes"}), ("wipe", {"what": "everything"})]
    provider.scripts = [
        Script(steps=[], calls=calls, finish_reason="tool_calls"),
        Script(steps=["Your notes ", "are gone."]),
    ]
    received = chat(bob)
    asked = provider.requests[-2]
    assert asked["messages"][-1]["content"] == "Wipe my notes."
    assert not any("flood" in tool["function"]["name"] for tool in asked["tools"])
    assert [event.data["arguments"] for event in received if event.type == "approval"] == [{"what": "notes"}]
    outputs = {event.data["output"] for event in received if event.type == "tool_result"}
    assert "notes is gone" in outputs
    assert any("does not allow" in output for output in outputs)
    assert calculator.calls == [("wipe", "notes")]

    # Every token is charged to Bob, and his conversation is private.
    usage = next(event.data for event in received if event.type == "usage")
    spent = sum(map(sum, provider.reported[-2:]))
    assert (usage["total_tokens"], usage["exactness"]) == (spent, "exact")
    started = received[0].data
    listed = bob.get("/v1/conversations", params={"workspace_id": "sales"}).json()["data"]
    assert [row["id"] for row in listed] == [started["conversation_id"]]
    messages = bob.get(f"/v1/conversations/{started['conversation_id']}/messages").json()["data"]
    assert [message["content"] for message in messages] == ["Wipe my notes.", "Your notes are gone."]

    # Neither another workspace's member nor another tenant sees any of it.
    for stranger in (client_of(cast.dana), client_of(cast.charlie)):
        for path in (
            f"{WORKSPACE_URL}/models/ours",
            f"{WORKSPACE_URL}/mcps/calculator",
            f"{WORKSPACE_URL}/prompts/tidy",
            f"/v1/conversations/{started['conversation_id']}/messages",
            f"/v1/chat/turns/{started['turn_id']}",
        ):
            assert stranger.get(path).status_code == 404, path
        assert refusal(stranger, model="ours") == "model_not_enabled"
        assert refusal(stranger, mcps=["calculator"]) == "mcp_not_enabled"


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()
    return data


def refusal(client: httpx.Client, **fields: Any) -> str:
    answer = client.post("/v1/chat/send", json=body("hi", **fields))
    assert answer.status_code == 403, answer.text
    code: str = answer.json()["error"]["code"]
    return code


def chat(client: httpx.Client) -> list[StreamEvent]:
    """Bob's turn; he allows every approval."""
    received: list[StreamEvent] = []
    with client.stream("POST", "/v1/chat/send", json=TURN, headers=STREAM) as answer:
        assert answer.status_code == 200, answer.read()
        for event in parse(answer.iter_lines()):
            received.append(event)
            if event.type == "approval":
                turn, approval = received[0].data["turn_id"], event.data["approval_id"]
                path = f"/v1/chat/turns/{turn}/approvals/{approval}"
                assert client.post(path, json={"decision": "allow"}).status_code == 200
    return received
