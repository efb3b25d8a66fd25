"""A workspace with a model that can use tools and an MCP server, for tests of turns that call some."""

import json
from typing import Any

import httpx

from accounts.tests.cast import Person
from gateway.tests.scripted_provider import Script, ScriptedProvider
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential, install_model

MODEL = "clever"


def install_clever(person: Person, url: str) -> None:
    """A custom model at the scripted provider."""
    with tenant_scope(person.principal.tenant):
        credential = add_credential(
            workspace_id=person.principal.workspace.id,
            name="scripted",
            kind="compatible",
            key="sk-scripted",
            base_url=f"{url}/v1",
        )
        install_model(
            credential=credential,
            slug=MODEL,
            upstream_name="clever-1",
            context_window=400_000,
            output_bound=200,
            abilities=["tools"],
            enabled=True,
        )


def install_calculator(client: httpx.Client, url: str, /, **fields: Any) -> httpx.Response:
    body = {"slug": "calculator", "name": "Calculator", "url": f"{url}/mcp"} | fields
    return client.post("/v1/workspaces/sales/mcps", json=body)


def asks_for(*calls: tuple[str, dict[str, Any]]) -> Script:
    """An answer that calls tools, `(name, arguments)` each."""
    wire = [
        {"index": at, "id": f"call_{at}", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for at, (name, arguments) in enumerate(calls)
    ]
    return Script(steps=[], tool_calls=wire, finish_reason="tool_calls")


def say(provider: ScriptedProvider, *scripts: Script) -> None:
    provider.scripts = list(scripts)
