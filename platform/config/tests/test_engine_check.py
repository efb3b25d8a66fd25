"""`engine_check` runs a turn through LibreChat and back, and explains how to fix each fault."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from accounts import engine_checks
from accounts.models import EngineAccount, EngineCheck
from config import engine_check_runner as checks_at_start
from config.asgi import application
from config.egress import application as egress_application
from gateway.engines.librechat import diagnostics
from gateway.tests.conformance import engines
from gateway.tests.conformance.engines import SECRET
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from quotas.models import Reservation, UsageRecord

STRANGER = {"name": "Somebody", "email": "a@b.example", "password": "p" * 8, "confirm_password": "p" * 8}


@pytest.fixture(scope="module")
def egress(django_db_setup: None, django_db_blocker: Any) -> Iterator[Served]:
    with django_db_blocker.unblock(), Served(egress_application, lifespan="on") as server:
        yield server


@pytest.fixture(scope="module")
def replay() -> Iterator[tuple[ReplayedLibreChat, Served]]:
    replay = ReplayedLibreChat()
    with Served(replay) as server:
        yield replay, server


@pytest.fixture
def librechat(
    replay: tuple[ReplayedLibreChat, Served], egress: Served, settings: Any, transactional_db: None
) -> Iterator[ReplayedLibreChat]:
    """A LibreChat without accounts that calls the egress; each test breaks one thing."""
    settings.EGRESS_URL = egress.url
    with engines.replayed(settings, *replay, egress):
        yield replay[0]


def engine_check() -> tuple[bool, str]:
    """Whether the check passed, and its output."""
    output = StringIO()
    try:
        call_command("engine_check", stdout=output)
    except CommandError:
        return False, output.getvalue()
    return True, output.getvalue()


def failure() -> tuple[str, str]:
    """The failed step and its hint."""
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("engine_check", "--json", stdout=output)
    answer = json.loads(output.getvalue())
    assert answer["ok"] is False
    *before, last = answer["steps"]
    assert [step["state"] for step in before] == ["ok"] * len(before)
    assert last["state"] == "failed"
    return last["name"], last["mend"]


def test_a_passing_check_prints_a_line_per_step(librechat: ReplayedLibreChat) -> None:
    is_well, output = engine_check()
    lines = [line.split() for line in output.splitlines()]
    assert is_well, output
    assert [(line[0], line[1]) for line in lines] == [("ok", name) for name in diagnostics.STEPS]
    assert (librechat.counters["starts"], librechat.counters["resumed"]) == (2, 1)


def test_the_trial_calls_a_tool_through_the_whole_loop(librechat: ReplayedLibreChat) -> None:
    assert engine_check()[0]
    check, tool_check = EngineCheck.objects.order_by("created_at")
    assert engine_checks.TOOL_CALLED in check.arrived
    assert engine_checks.TOOL_OFFERED in tool_check.arrived
    assert (check.calls, tool_check.calls) == (1, 2)


def test_a_librechat_that_offers_no_tools(librechat: ReplayedLibreChat) -> None:
    librechat.capabilities = []
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("engine_check", "--json", stdout=output)
    last = json.loads(output.getvalue())["steps"][-1]
    assert last["name"] == "tools"
    assert "LibreChat says: The agent is configured to use MCP tools, but none are available" in last["text"]
    assert "capabilities" in last["mend"]


@pytest.mark.slow
def test_a_librechat_whose_tool_calls_do_not_arrive(
    librechat: ReplayedLibreChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_call(*args: Any) -> str:
        return "Error: fetch failed"

    monkeypatch.setattr("gateway.tests.replayed_librechat.servers.Servers.call", no_call)
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("engine_check", "--json", stdout=output)
    assert "does not call it" in json.loads(output.getvalue())["steps"][-1]["text"]


@pytest.mark.slow
@pytest.mark.parametrize("hyphens", [True, False])
def test_every_release_takes_our_server_titles(librechat: ReplayedLibreChat, hyphens: bool) -> None:
    librechat.takes_hyphens = hyphens
    is_well, output = engine_check()
    assert is_well, output


def test_the_failed_step_quotes_librechats_error(
    librechat: ReplayedLibreChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.engines.librechat.client.USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64) Switchyard"
    )
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("engine_check", stdout=output)
    assert "Illegal request" in output.getvalue()
    assert "too old" not in output.getvalue()


def test_the_error_of_a_refused_title_is_shown(
    librechat: ReplayedLibreChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.engines.librechat.diagnostics.server_title", lambda name, _: f"{name}-ab12cd"
    )
    output = StringIO()
    with pytest.raises(CommandError):
        call_command("engine_check", stdout=output)
    assert "Title can only contain letters, numbers, and spaces" in output.getvalue()


@pytest.mark.slow
def test_librechats_build_is_reported_and_never_guessed(librechat: ReplayedLibreChat) -> None:
    assert "does not say which version" in engine_check()[1]
    build = {"commit": "0ab3414c0" * 4, "commitShort": "0ab3414", "branch": "main", "buildDate": "2026-08-18"}
    librechat.build = {"buildInfo": build}
    assert "built from 0ab3414, main, 2026-08-18" in engine_check()[1]


def test_it_costs_nothing_and_leaves_nothing_at_librechat(
    librechat: ReplayedLibreChat, provider: ScriptedProvider
) -> None:
    engine_check()
    assert provider.requests == []
    assert not UsageRecord.objects.exists()
    assert not Reservation.objects.exists()
    assert librechat.conversations.by_id == {}
    assert not any(librechat.servers.by_account.values())


def test_it_registers_the_operators_account_first_and_shows_no_secret(librechat: ReplayedLibreChat) -> None:
    _, output = engine_check()
    (account,) = librechat.accounts.by_email.values()
    assert account.role == "ADMIN"
    assert not any(secret in output for secret in (SECRET, account.password, *librechat.accounts.tokens))


@pytest.mark.slow
def test_it_can_be_repeated_and_clears_old_checks_away(librechat: ReplayedLibreChat) -> None:
    engine_check()
    EngineCheck.objects.update(created_at=Now() - timedelta(hours=2))
    assert engine_check()[0]
    assert EngineCheck.objects.count() == 2


def test_an_unreachable_librechat(librechat: ReplayedLibreChat) -> None:
    librechat.down = True
    step, mend = failure()
    assert step == "reachable"
    assert "LIBRECHAT_URL" in mend


def test_an_address_where_nothing_listens(librechat: ReplayedLibreChat, settings: Any) -> None:
    settings.LIBRECHAT_URL = "http://127.0.0.1:9"
    assert failure()[0] == "reachable"


@pytest.mark.slow
def test_an_operator_whose_password_librechat_refuses(librechat: ReplayedLibreChat) -> None:
    engine_check()
    next(iter(librechat.accounts.by_email.values())).password = "changed at LibreChat"
    step, mend = failure()
    assert step == "login"
    assert ".env" in mend


@pytest.mark.slow
def test_an_operator_whose_password_cannot_be_unsealed(librechat: ReplayedLibreChat, settings: Any) -> None:
    engine_check()
    settings.ENCRYPTION_KEYS = ["another key altogether, and only that one"]
    step, mend = failure()
    assert step == "login"
    assert "ENCRYPTION_KEYS" in mend


@pytest.mark.slow
def test_another_admin_account_is_a_warning(librechat: ReplayedLibreChat, settings: Any) -> None:
    httpx.post(f"{settings.LIBRECHAT_URL}/api/auth/register", json=STRANGER, trust_env=False)
    is_well, output = engine_check()
    assert is_well, output
    assert "warning  login" in output
    assert "empty MongoDB" in output


def test_a_librechat_with_another_secret(librechat: ReplayedLibreChat) -> None:
    librechat.secret = "not the one of the egress"
    step, mend = failure()
    assert step == "routing"
    assert "EGRESS_SECRETS" in mend
    assert "librechat_config" in mend


def test_a_librechat_that_calls_another_address(librechat: ReplayedLibreChat) -> None:
    librechat.egress_url = "http://127.0.0.1:9"
    step, mend = failure()
    assert step == "routing"
    assert mend.startswith("LibreChat calls somewhere else")
    assert "librechat_config" in mend


def test_a_librechat_that_retries_elsewhere_does_not_delay_the_check(
    librechat: ReplayedLibreChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    librechat.egress_url, librechat.retry_delay = "http://127.0.0.1:9", 60.0
    monkeypatch.setattr(diagnostics, "ROUTE_SECONDS", 0.3)
    assert failure()[0] == "routing"
    assert librechat.counters["aborts"] == 1


def test_an_egress_that_does_not_run(librechat: ReplayedLibreChat, settings: Any) -> None:
    librechat.egress_url = settings.EGRESS_URL = "http://127.0.0.1:9"
    assert "No egress responds at http://127.0.0.1:9" in failure()[1]


def test_a_librechat_that_sends_no_headers(
    librechat: ReplayedLibreChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.tests.replayed_librechat.turns.Turn._headers",
        lambda turn: {"authorization": f"Bearer {SECRET}"},
    )
    step, mend = failure()
    assert step == "routing"
    assert "librechat_config" in mend


def test_a_librechat_that_chooses_its_own_reply_id(
    librechat: ReplayedLibreChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = "gateway.tests.replayed_librechat.starts.complete"
    monkeypatch.setattr(complete, _with_an_id_of_its_own)
    step, mend = failure()
    assert step == "routing"
    assert "too old" in mend


def test_a_librechat_without_our_endpoint(librechat: ReplayedLibreChat) -> None:
    librechat.endpoints = {"openAI": ["gpt-4"]}
    step, mend = failure()
    assert step == "routing"
    assert "librechat_config" in mend


def test_a_librechat_that_reports_no_usage(librechat: ReplayedLibreChat) -> None:
    librechat.stream_usage = False
    step, mend = failure()
    assert step == "usage"
    assert "streamUsage" in mend


def test_a_librechat_that_accepts_no_mcp_servers(librechat: ReplayedLibreChat) -> None:
    librechat.refuses_servers = True
    step, mend = failure()
    assert step == "tools"
    assert "mcpSettings" in mend


def test_the_server_of_a_check_is_only_for_its_engine(librechat: ReplayedLibreChat, egress: Served) -> None:
    engine_check()
    address = f"{egress.url}/mcp-check/{EngineCheck.objects.earliest('created_at').id.hex}"
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    known = {"Authorization": f"Bearer {SECRET}"}
    shown = httpx.post(address, json=listing, headers=known, trust_env=False).json()
    assert [tool["name"] for tool in shown["result"]["tools"]] == ["hello"]
    assert httpx.post(address, json=listing, trust_env=False).status_code == 404
    elsewhere = f"{egress.url}/mcp-check/{uuid4().hex}"
    assert httpx.post(elsewhere, json=listing, headers=known, trust_env=False).status_code == 404


@pytest.mark.slow
def test_a_librechat_that_makes_calls_of_its_own_is_a_warning(librechat: ReplayedLibreChat) -> None:
    librechat.summarises = True
    is_well, output = engine_check()
    assert is_well, output
    assert "warning  usage" in output
    assert "2 times" in output


def test_the_direct_engine_needs_only_the_model(
    provider: ScriptedProvider, settings: Any, transactional_db: None
) -> None:
    settings.ENGINE = "direct"
    assert engine_check()[0]
    settings.LOCAL_MODEL_URL = "http://127.0.0.1:9"
    step, mend = failure()
    assert step == "model"
    assert "make run" in mend


def call_as(egress: Served, check: EngineCheck, **headers: str) -> httpx.Response:
    """A model call of a check, as LibreChat sends it."""
    account = EngineAccount.objects.get()
    fitting = {
        "authorization": f"Bearer {SECRET}",
        "x-message": str(check.id),
        "x-conversation": str(check.conversation_id),
        "x-engine-user": account.engine_user_id,
    }
    body = {"model": "routed", "messages": [{"role": "user", "content": "hi"}]}
    address = f"{egress.url}/v1/chat/completions"
    return httpx.post(address, json=body, headers={**fitting, **headers}, trust_env=False, timeout=20)


def test_the_egress_answers_a_check_only_to_the_operator_with_both_ids_within_the_hour(
    librechat: ReplayedLibreChat, egress: Served
) -> None:
    engine_check()
    check = EngineCheck.objects.earliest("created_at")
    assert call_as(egress, check).status_code == 200
    for wrong in ("x-message", "x-conversation", "x-engine-user"):
        assert call_as(egress, check, **{wrong: str(uuid4())}).status_code == 404
        assert call_as(egress, check, **{wrong: ""}).status_code == 404
    assert call_as(egress, check, authorization="Bearer another").status_code == 401
    EngineCheck.objects.update(created_at=Now() - timedelta(hours=2))
    assert call_as(egress, check).status_code == 404


def test_the_calls_of_a_check_are_limited(librechat: ReplayedLibreChat, egress: Served) -> None:
    engine_check()
    check = EngineCheck.objects.earliest("created_at")
    codes = [call_as(egress, check).status_code for _ in range(engine_checks.MOST_CALLS)]
    assert codes == [200] * (engine_checks.MOST_CALLS - 1) + [404]


def test_faults_at_the_start_are_logged_with_their_hints(
    librechat: ReplayedLibreChat, caplog: pytest.LogCaptureFixture
) -> None:
    librechat.stream_usage = False
    asyncio.run(checks_at_start.check_at_start(()))
    (line,) = [record for record in caplog.records if record.name == "config.engine_check_runner"]
    assert line.levelno == logging.ERROR
    assert "streamUsage" in str(line.msg)


@pytest.mark.slow
def test_the_check_waits_for_a_librechat_that_starts_later(
    librechat: ReplayedLibreChat, caplog: pytest.LogCaptureFixture
) -> None:
    librechat.down = True
    caplog.set_level(logging.INFO)

    async def check_while_it_comes_up() -> None:
        waiting = asyncio.create_task(checks_at_start.check_at_start((0.5,)))
        await asyncio.sleep(0.2)
        librechat.down = False
        await waiting

    asyncio.run(check_while_it_comes_up())
    levels = {record.levelno for record in caplog.records if record.name == "config.engine_check_runner"}
    assert levels == {logging.INFO}


@pytest.mark.slow
def test_a_production_server_checks_its_engine_and_serves_meanwhile(
    librechat: ReplayedLibreChat, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEVELOPMENT = False
    librechat.secret = "not the one of the egress"
    with Served(application, lifespan="on") as web:
        assert httpx.get(f"{web.url}/healthz", trust_env=False).status_code in {200, 301}
        wait_until(lambda: "EGRESS_SECRETS" in caplog.text)


def test_development_and_the_direct_engine_check_nothing_at_the_start(settings: Any) -> None:
    settings.ENGINE, settings.DEVELOPMENT = "librechat", True
    assert not checks_at_start.should_check_at_start()
    settings.ENGINE, settings.DEVELOPMENT = "direct", False
    assert not checks_at_start.should_check_at_start()


def _with_an_id_of_its_own(body: dict[str, Any], endpoint: str) -> dict[str, Any]:
    own = {"endpoint": endpoint, "responseMessageId": str(uuid4()), "maxContextTokens": 4000}
    return {"promptPrefix": None, **body, **own}
