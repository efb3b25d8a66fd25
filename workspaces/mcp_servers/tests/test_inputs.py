"""Inputs of MCP servers: the same by REST and by page, and a change that changes nothing leaves no trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.principals import Principal
from accounts.tests.cast import Cast
from gateway.tests.real_mcp import RealMCP
from gateway.tests.tool_setup import install_calculator
from kit.tenancy import tenant_scope
from workspaces.mcp_servers import services, tool_rules
from workspaces.mcp_servers.forms import InstallForm
from workspaces.mcp_servers.inputs import ServerChange, ServerInput, ToolChange
from workspaces.models import MCPServer, Tool

SERVERS = "/v1/workspaces/sales/mcps"


@pytest.fixture
def principal(cast: Cast, installed: RealMCP) -> Iterator[Principal]:
    """Alice, in the schema of her team, with the calculator installed."""
    with tenant_scope(cast.alice.principal.tenant):
        yield cast.alice.principal


@contextmanager
def nothing_written() -> Iterator[None]:
    with CaptureQueriesContext(connection) as queries:
        yield
    written = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]
    assert written == []


def test_a_name_is_normalised_the_same_by_rest_and_by_page(
    calculator: RealMCP, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    typed = " Our\t    tools "
    assert install_calculator(alice, calculator.url, name=typed).status_code == 201
    browser = Client()
    browser.force_login(cast.alice.user)
    form = {"name": typed, "slug": "other", "url": f"{calculator.url}/mcp", "auth": "none"}
    installed = browser.post("/t/acme/w/sales/mcps/install/", {**form, "transport": "streamable_http"})
    assert installed.status_code == 302
    assert [row["name"] for row in alice.get(SERVERS).json()["data"]] == ["Our tools"] * 2
    assert alice.patch(f"{SERVERS}/other", json={"name": " A   b"}).json()["name"] == "A b"


def test_a_form_reads_the_same_input_as_a_body() -> None:
    typed = {"name": "Vault", "slug": "vault", "url": "https://x.example/mcp", "sign_in": ""}
    form = InstallForm({**typed, "transport": "sse", "auth": "header", "header_name": "X-Key"})
    assert form.is_valid(), form.errors
    assert form.server() == ServerInput(
        slug="vault",
        url="https://x.example/mcp",
        name="Vault",
        transport="sse",
        auth="header",
        header_name="X-Key",
    )


def test_an_unknown_field_is_refused_by_name(installed: RealMCP, client_of: Any, cast: Cast) -> None:
    refused = client_of(cast.alice).patch(f"{SERVERS}/calculator", json={"enable": False})
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["enable"])


def test_an_unchanged_tool_is_neither_saved_nor_audited(principal: Principal) -> None:
    same = ToolChange(allowed=True, needs_approval=False, argument_schema={})
    with nothing_written():
        tool_rules.change_tool(principal=principal, slug="calculator", tool="add", change=same)
    assert MCPServer.objects.get().version == 1
    assert not AuditEntry.objects.filter(action="mcp_tool.changed").exists()


def test_only_the_tools_that_changed_are_audited(principal: Principal) -> None:
    change = ToolChange(needs_approval=True, argument_schema={})
    names = ("add", "wipe")  # wipe needs approval from the start
    tool_rules.change_tools(principal=principal, slug="calculator", changes=dict.fromkeys(names, change))
    [entry] = AuditEntry.objects.filter(action="mcp_tool.changed")
    assert (entry.target, entry.changes) == ("calculator/add", {"needs_approval": [False, True]})
    assert MCPServer.objects.get().version == 2


def test_a_rule_that_is_removed_is_audited(principal: Principal) -> None:
    rule = {"properties": {"a": {"maximum": 1}}}
    for schema in (rule, {}):
        change = ToolChange(argument_schema=schema)
        tool_rules.change_tool(principal=principal, slug="calculator", tool="add", change=change)
    changes = AuditEntry.objects.filter(action="mcp_tool.changed").values_list("changes", flat=True)
    assert [entry["argument_schema"] for entry in changes.order_by("at")] == [
        [None, rule],
        [rule, None],
    ]
    assert Tool.objects.get(name="add").argument_schema is None


def test_leaving_a_new_tool_denied_reviews_it_without_an_audit_entry(principal: Principal) -> None:
    Tool.objects.filter(name="add").update(is_new=True, is_allowed=False)
    change = ToolChange(allowed=False)
    tool_rules.change_tool(principal=principal, slug="calculator", tool="add", change=change)
    assert not Tool.objects.get(name="add").is_new
    assert not AuditEntry.objects.filter(action="mcp_tool.changed").exists()


def test_an_unchanged_server_is_neither_saved_nor_audited(principal: Principal) -> None:
    row = MCPServer.objects.get()
    same = ServerChange(name=row.name, enabled=row.enabled, url=row.url)
    with nothing_written():
        services.change_server(principal=principal, slug="calculator", change=same)
    assert not AuditEntry.objects.filter(action="mcp_server.changed").exists()
