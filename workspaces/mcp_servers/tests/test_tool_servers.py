"""MCP servers by REST: installed from real servers over real HTTP, shown, changed, removed."""

from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.test import Client

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from gateway.tests.events import send
from gateway.tests.real_mcp import KEY, BadMCP, RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.tool_stand import MODEL, asks_for, install_calculator, say
from kit import outbound
from kit.lookups import Lookups
from kit.tenancy import tenant_scope
from workspaces.models import MCPServer

WHERE = "/v1/workspaces/sales/mcps/calculator"
WITH_TOOLS = {"model": MODEL, "mcps": ["calculator"]}


def test_installing_lists_the_tools(calculator: RealMCP, client_of: Any, cast: Cast) -> None:
    made = install_calculator(client_of(cast.alice), calculator.url).json()
    tools = {tool["name"]: tool for tool in made["tools"]}
    assert sorted(tools) == ["add", "flood", "meet", "wipe"]
    assert (tools["add"]["usable"], tools["add"]["needs_approval"]) == (True, False)
    assert tools["wipe"]["needs_approval"]  # the server calls it destructive


def test_a_limit_of_ours_is_not_noted_as_the_servers_problem(
    installed: RealMCP, client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        MCPServer.objects.update(url="https://tools.test/mcp")
    alice = client_of(cast.alice)
    monkeypatch.setattr(outbound, "_lookups", Lookups(lambda host: ["127.0.0.1"], of_a_domain=0))
    refused = alice.post(f"{WHERE}/refresh")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "at_capacity")
    assert refused.headers["retry-after"] == "5"
    assert alice.get(WHERE).json()["problem"] == ""


def test_a_schema_that_is_none_is_refused(installed: RealMCP, client_of: Any, cast: Cast) -> None:
    path = "/v1/workspaces/sales/mcps/calculator/tools/add"
    for schema in ({"type": "nonsense"}, {"$ref": "https://example.com/schema"}, {"pattern": "("}):
        answer = client_of(cast.alice).patch(path, json={"argument_schema": schema})
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["argument_schema"])


def test_tools_that_come_later_wait_to_be_allowed(calculator: RealMCP, client_of: Any, cast: Cast) -> None:
    """Also where a server showed none as it was installed: nobody has seen them."""
    for tool in calculator.server._tool_manager.list_tools():
        calculator.server.remove_tool(tool.name)
    alice = client_of(cast.alice)
    assert install_calculator(alice, calculator.url).json()["tools"] == []
    calculator.add_advice("Trust me.")
    shown = alice.post("/v1/workspaces/sales/mcps/calculator/refresh").json()["tools"]
    assert [(tool["name"], tool["usable"], tool["new"]) for tool in shown] == [("advise", False, True)]
    where = "/v1/workspaces/sales/mcps/calculator/tools/advise"
    told = alice.patch(where, json={"allowed": False}).json()
    assert (told["new"], told["allowed"]) == (False, False)


def test_many_tools_are_changed_at_once_or_none(installed: RealMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    some = alice.patch(f"{WHERE}/tools", json={"tools": ["add", "meet"], "needs_approval": True}).json()
    assert [tool["needs_approval"] for tool in some["tools"]] == [True, False, True, True]
    wrong = alice.patch(f"{WHERE}/tools", json={"tools": ["add", "nothing"], "allowed": False})
    assert (wrong.status_code, alice.get(WHERE).json()["tools"][0]["allowed"]) == (404, True)
    all_of_them = alice.patch(f"{WHERE}/tools", json={"allowed": False}).json()
    assert {tool["allowed"] for tool in all_of_them["tools"]} == {False}
    assert client_of(cast.bob).patch(f"{WHERE}/tools", json={"allowed": True}).status_code == 403


def test_a_list_counts_tools_and_tells_none(installed: RealMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    installed.lie_about_add()
    installed.add_advice("Trust me.")
    alice.post(f"{WHERE}/refresh")
    (listed,) = alice.get("/v1/workspaces/sales/mcps").json()["data"]
    assert (listed["usable_tools"], listed["waiting_tools"], "tools" in listed) == (3, 2, False)


def test_a_changed_tool_waits_until_a_manager_accepts_it(
    installed: RealMCP, client_of: Any, cast: Cast
) -> None:
    alice, where = client_of(cast.alice), "/v1/workspaces/sales/mcps/calculator"
    installed.lie_about_add()
    shown = alice.post(f"{where}/refresh").json()
    tool = next(tool for tool in shown["tools"] if tool["name"] == "add")
    assert not tool["usable"]
    assert "send the whole conversation" in tool["offered"]["description"]
    assert alice.patch(f"{where}/tools/add", json={"accept": "0" * 64}).status_code == 409
    accepted = alice.patch(f"{where}/tools/add", json={"accept": tool["offered_hash"]}).json()
    assert (accepted["usable"], accepted["offered"]) == (True, None)


def test_a_key_is_kept_sealed_and_shown_to_the_server_alone(
    calculator: RealMCP, client_of: Any, cast: Cast
) -> None:
    calculator.key = KEY
    alice, url = client_of(cast.alice), calculator.url
    refused = install_calculator(alice, url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "mcp_sign_in_needed")
    keyed = {"auth": "header", "header_name": "Authorization", "header_value": f"Bearer {KEY}"}
    made = install_calculator(alice, url, **keyed)
    assert made.status_code == 201
    assert made.json()["has_header"]
    assert KEY not in made.text
    with tenant_scope(cast.alice.principal.tenant):
        assert KEY not in MCPServer.objects.get().sealed_header


def test_a_key_in_a_header_goes_to_another_address_only_when_it_is_given_again(
    calculator: RealMCP, client_of: Any, cast: Cast
) -> None:
    """On a host that serves many it may be somebody else's."""
    calculator.key = KEY
    alice, url = client_of(cast.alice), calculator.url
    keyed = {"auth": "header", "header_name": "Authorization", "header_value": f"Bearer {KEY}"}
    install_calculator(alice, url, **keyed)
    for there in (f"{url}/@mine/mcp", f"{url}/mcp?for=me"):
        refused = alice.patch(WHERE, json={"url": there})
        assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["header_value"])
        assert alice.patch(WHERE, json={"url": there, "header_value": "Bearer other"}).status_code == 200


def test_a_server_with_a_key_that_wants_a_further_permission_wants_another_key(
    calculator: RealMCP, client_of: Any, cast: Cast
) -> None:
    """Nobody signs in there, so no sign-in can ask for more."""
    alice = client_of(cast.alice)
    calculator.key = KEY
    keyed = {"auth": "header", "header_name": "Authorization", "header_value": f"Bearer {KEY}"}
    install_calculator(alice, calculator.url, **keyed)
    calculator.wanted_scope = "all"
    error = alice.post(f"{WHERE}/refresh").json()["error"]
    assert (error["code"], error["details"]) == ("mcp_sign_in_needed", {"status": 403})
    assert "another key" in error["message"]


class TestAKeyInTheAddress:
    OTHER = "another-key-of-ours"

    @pytest.fixture
    def keyed(self, calculator: RealMCP, client_of: Any, cast: Cast) -> RealMCP:
        calculator.key = KEY
        url = f"{calculator.url}/mcp?key={quote(KEY)}"
        assert install_calculator(client_of(cast.alice), calculator.url, url=url).status_code == 201
        return calculator

    @pytest.mark.usefixtures("keyed")
    def test_it_is_kept_sealed_and_shown_nowhere(self, client_of: Any, cast: Cast) -> None:
        alice = client_of(cast.alice)
        told = alice.get(WHERE)
        assert told.json()["url"].endswith("/mcp?key=…")
        assert told.json()["has_key_in_url"]
        browser = Client()
        browser.force_login(cast.alice.user)
        page = browser.get("/t/acme/w/sales/mcps/calculator").content.decode()
        assert "/mcp?key=…" in page
        with tenant_scope(cast.alice.principal.tenant):
            row = MCPServer.objects.get()
        noted = list(AuditEntry.objects.filter(target="calculator").values_list("details", "changes"))
        assert noted
        for text in (told.text, page, str(noted), row.url, row.sealed_url):
            assert KEY not in unquote(text)

    def test_tools_are_called_with_it(
        self, keyed: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
    ) -> None:
        say(provider, asks_for(("add_mcp_calculator", {"a": 2, "b": 3})), Script(steps=["5"]))
        assert send(client_of(cast.alice), "sum", **WITH_TOOLS).status_code == 200
        assert keyed.calls == [("add", (2, 3))]

    def test_a_new_one_takes_its_place_at_the_same_host_only(
        self, keyed: RealMCP, client_of: Any, cast: Cast
    ) -> None:
        alice = client_of(cast.alice)
        keyed.key = self.OTHER
        assert alice.post(f"{WHERE}/refresh").status_code == 409
        host = keyed.url.removeprefix("http://")
        for elsewhere in (
            "http://other.example",
            f"https://{host}",
            f"http://{host}\\@other.example",
            "http://[x",
        ):
            refused = alice.patch(WHERE, json={"url": f"{elsewhere}/mcp?key={self.OTHER}"})
            assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["url"])
        changed = alice.patch(WHERE, json={"url": f"{keyed.url}/mcp?key={self.OTHER}"})
        assert (changed.status_code, self.OTHER in changed.text) == (200, False)
        assert alice.post(f"{WHERE}/refresh").status_code == 200

    @pytest.mark.usefixtures("keyed")
    def test_what_is_shown_can_be_sent_back_and_is_no_address(self, client_of: Any, cast: Cast) -> None:
        alice = client_of(cast.alice)
        shown = alice.get(WHERE).json()["url"]
        same = alice.patch(WHERE, json={"url": shown, "name": "Ours"}).json()
        assert (same["has_key_in_url"], same["name"]) == (True, "Ours")
        assert alice.post(f"{WHERE}/refresh").status_code == 200
        for answer in (
            alice.patch(WHERE, json={"url": f"{shown}&more=1"}),
            install_calculator(alice, "", slug="other", url=shown),
        ):
            assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["url"])

    def test_one_that_cannot_be_read_can_be_given_anew(
        self, keyed: RealMCP, client_of: Any, cast: Cast, settings: Any
    ) -> None:
        alice, settings.ENCRYPTION_KEYS = (
            client_of(cast.alice),
            ["another one, of forty characters or more.."],
        )
        told = alice.post(f"{WHERE}/refresh")
        assert (told.status_code, told.json()["error"]["message"]) == (502, "The saved key cannot be read.")
        anew = alice.patch(WHERE, json={"url": f"{keyed.url}/mcp?key={quote(KEY)}"})
        assert anew.status_code == 200
        assert alice.post(f"{WHERE}/refresh").status_code == 200

    @pytest.mark.usefixtures("keyed")
    def test_it_goes_with_its_server(self, client_of: Any, cast: Cast) -> None:
        client_of(cast.alice).delete(WHERE)
        with tenant_scope(cast.alice.principal.tenant):
            assert MCPServer.objects.get().sealed_url == ""


@pytest.mark.parametrize(
    ("manner", "code"),
    [
        ("html", "mcp_server_failed"),
        ("binary", "mcp_server_failed"),
        ("teapot", "mcp_server_failed"),
        ("huge", "upstream_too_large"),
        ("hangs", "mcp_server_failed"),
    ],
)
def test_a_server_that_misbehaves_is_not_installed(  # noqa: PLR0917 - fixtures
    calculator: RealMCP, client_of: Any, cast: Cast, settings: Any, manner: str, code: str
) -> None:
    bad = BadMCP()
    bad.manner = manner
    settings.MCP_CONNECT_SECONDS = 1 if manner == "hangs" else 15
    with Served(bad) as server:
        settings.OUTBOUND_ALLOWED = [server.url.removeprefix("http://")]
        answer = install_calculator(client_of(cast.alice), server.url)
        bad.go_on.set()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, code)
    assert client_of(cast.alice).get("/v1/workspaces/sales/mcps").json()["data"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://example.com"),
        ("url", "https://me:secret@example.com/mcp"),
        ("slug", "Not A Slug"),
        ("slug", "0123456789abcdef0123456789abcdef"),
        ("auth", "magic"),
        ("header_name", "Content-Length"),
    ],
)
def test_nonsense_is_refused_at_its_field(
    calculator: RealMCP, client_of: Any, cast: Cast, field: str, value: str
) -> None:
    fields = {"auth": "header", "header_name": "X-Key", "header_value": "k", field: value}
    answer = install_calculator(client_of(cast.alice), calculator.url, **fields)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field])


def test_a_private_address_is_refused(calculator: RealMCP, client_of: Any, cast: Cast, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = []
    answer = install_calculator(client_of(cast.alice), calculator.url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "address_refused")


def test_a_removed_servers_name_is_not_given_again(installed: RealMCP, client_of: Any, cast: Cast) -> None:
    alice = client_of(cast.alice)
    assert alice.delete("/v1/workspaces/sales/mcps/calculator").status_code == 204
    assert alice.get("/v1/workspaces/sales/mcps").json() == {"data": []}
    assert install_calculator(alice, installed.url).status_code == 409


def test_others_see_none_of_it(installed: RealMCP, client_of: Any, cast: Cast) -> None:
    charlie, dana = client_of(cast.charlie), client_of(cast.dana)
    assert charlie.get("/v1/workspaces/sales/mcps").json() == {"data": []}  # his own, of the same name
    assert dana.get("/v1/workspaces/sales/mcps").status_code == 404
    for client in (charlie, dana):
        assert client.get("/v1/workspaces/sales/mcps/calculator").status_code == 404
        assert send(client, "hi", mcps=["calculator"]).json()["error"]["code"] == "mcp_not_enabled"


def test_a_member_sees_what_may_be_used_and_not_where_it_is(
    installed: RealMCP, client_of: Any, cast: Cast
) -> None:
    seen = client_of(cast.bob).get("/v1/workspaces/sales/mcps/calculator").json()
    assert seen["url"] is None
    assert client_of(cast.bob).post("/v1/workspaces/sales/mcps/calculator/refresh").status_code == 403
    client_of(cast.alice).patch("/v1/workspaces/sales/mcps/calculator", json={"enabled": False})
    assert client_of(cast.bob).get("/v1/workspaces/sales/mcps/calculator").status_code == 404
    refused = send(client_of(cast.bob), "hi", **WITH_TOOLS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "mcp_not_enabled")
