"""A model whose provider fails hands over to the one that the workspace named, on both engines' path."""

from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.providers.breaker import forget_breakers
from gateway.tests.events import read_events, send, text_of
from gateway.tests.scripted_provider import Script, ScriptedProvider
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, Hold, UsageRecord
from workspaces.language_models.installation import add_credential, install_model, set_fallback
from workspaces.language_models.models import LanguageModel


@pytest.fixture
def dead_model(cast: Cast, settings: Any, provider: ScriptedProvider) -> str:
    """A model at a URL where nothing listens; its fallback is the local one."""
    settings.OUTBOUND_ALLOWED = ["127.0.0.1:9"]
    principal = cast.alice.principal
    with tenant_scope(principal.tenant):
        credential = add_credential(
            workspace_id=principal.workspace.id,
            name="Dead",
            kind="compatible",
            key="sk-dead",
            base_url="http://127.0.0.1:9/v1",
        )
        bounds = {"context_window": 8000, "output_bound": 100}
        install_model(credential=credential, slug="dead", upstream_name="dead", enabled=True, **bounds)
        set_fallback(workspace_id=principal.workspace.id, slug="dead", fallback="local")
    return "dead"


def test_the_fallback_answers_and_is_in_the_ledger(client_of: Any, cast: Cast, dead_model: str) -> None:
    events = read_events(client_of(cast.alice), "hi", model=dead_model)
    assert text_of(events) == "Hello there."
    notices = [event.data for event in events if event.type == "notice"]
    assert [notice["kind"] for notice in notices] == ["retry", "retry", "fallback"]
    received = {"from": "dead", "to": "local", "provider_status": None}
    words = "dead is not responding. local answers instead."
    assert notices[-1] == {"kind": "fallback", "text": words, **received}
    record = UsageRecord.objects.get()
    assert (record.model, record.provider) == ("local", "local")
    assert sorted(Hold.objects.values_list("state", flat=True)) == ["released", "settled"]
    window = BudgetWindow.objects.get()
    assert (window.used, window.reserved) == (record.input_tokens + record.output_tokens, 0)


@pytest.mark.parametrize("abilities", [[], ["tools"]])
def test_a_completion_with_tools_falls_back_only_to_models_with_tools(
    client_of: Any, cast: Cast, dead_model: str, abilities: list[str]
) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        LanguageModel.objects.filter(slug="dead").update(abilities=["tools"])
        LanguageModel.objects.filter(slug="local").update(abilities=abilities)
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    body = {"model": dead_model, "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    answer = client_of(cast.alice).post("/v1/chat/completions", json=body)
    assert answer.status_code == (200 if abilities else 502)


def test_the_fallback_is_asked_within_its_own_bounds(
    client_of: Any, cast: Cast, dead_model: str, provider: ScriptedProvider
) -> None:
    principal = cast.alice.principal
    with tenant_scope(principal.tenant):
        LanguageModel.objects.filter(slug="dead").update(context_window=100_000, output_bound=9_000)
        LanguageModel.objects.filter(slug="local").update(output_bound=70)
    assert text_of(read_events(client_of(cast.alice), "hi", model=dead_model)) == "Hello there."
    assert provider.requests[-1]["max_tokens"] == 70
    assert UsageRecord.objects.get().model == "local"


def test_a_fallback_into_which_it_does_not_fit_is_passed_over(
    client_of: Any, cast: Cast, dead_model: str, provider: ScriptedProvider
) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        LanguageModel.objects.filter(slug="dead").update(context_window=100_000)
        LanguageModel.objects.filter(slug="local").update(context_window=120, output_bound=100)
    answer = send(client_of(cast.alice), "word " * 200, model=dead_model)
    details = answer.json()["error"]["details"]
    assert (answer.status_code, details["provider"]) == (502, "compatible")
    assert provider.requests == []
    assert BudgetWindow.objects.get().reserved == 0


def test_if_all_models_fail_the_last_error_is_returned_and_nothing_charged(
    client_of: Any, cast: Cast, dead_model: str, provider: ScriptedProvider
) -> None:
    provider.script = Script(status=503)
    answer = send(client_of(cast.alice), "hi", model=dead_model)
    details = answer.json()["error"]["details"]
    assert (answer.status_code, details["provider"], details["provider_status"]) == (502, "local", 503)
    assert BudgetWindow.objects.get().used == BudgetWindow.objects.get().reserved == 0


def test_a_reply_that_has_begun_is_never_begun_again_elsewhere(
    client_of: Any, cast: Cast, dead_model: str, provider: ScriptedProvider
) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        set_fallback(workspace_id=cast.alice.principal.workspace.id, slug="dead", fallback="")
        set_fallback(workspace_id=cast.alice.principal.workspace.id, slug="local", fallback="dead")
    forget_breakers()
    provider.script = Script(steps=["Half ", "a "], dies=True)
    answer = send(client_of(cast.alice), "hi")
    assert answer.json()["error"]["details"]["reply"] == "Half a "
    assert answer.json()["error"]["details"]["provider"] == "local"
