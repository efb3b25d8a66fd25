"""A model call on a compatible route: kept open, repeatable, and honest about who answered or refused."""

import json
import logging
import threading
from itertools import islice
from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from gateway.api.completions import CompletionsConsumer
from gateway.models import Turn
from gateway.providers.breaker import forget_breakers
from gateway.tests.scripted_provider import KEY, Script, ScriptedProvider
from gateway.tests.wait import wait_until
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, Price, UsageRecord
from workspaces.language_models.installation import add_credential, install_model, set_fallback
from workspaces.language_models.models import LanguageModel

URL = "/v1/chat/completions"
ASKED: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "Hello"}]}
REFUSAL = {
    "error": {
        "message": f"No, {KEY} is wrong.",
        "type": "invalid_request_error",
        "code": "too_bad",
        "param": "x",
    }
}


def chunks_of(lines: Any) -> list[Any]:
    """The chunks of a stream, without its last line."""
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(each) for each in data[:-1]]


def streamed(client: httpx.Client, **fields: Any) -> tuple[httpx.Headers, list[Any]]:
    """The headers and chunks of a streamed completion."""
    with client.stream("POST", URL, json={**ASKED, "stream": True, **fields}) as answer:
        assert answer.status_code == 200, answer.read()
        return answer.headers, chunks_of(answer.iter_lines())


def text_of(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_a_silent_model_is_bridged_by_pings_before_its_first_token(
    client_of: Any, cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CompletionsConsumer, "ping_seconds", 0.05)
    gate = threading.Event()
    provider.script = Script(steps=[gate, "Hello"])
    with client_of(cast.alice).stream("POST", URL, json={**ASKED, "stream": True}) as answer:
        lines = answer.iter_lines()
        pings = list(islice((line for line in lines if line.startswith(":")), 2))
        assert pings == [": ping"] * 2
        assert not gate.is_set()
        gate.set()
        assert text_of(chunks_of(lines)) == "Hello"


def test_a_refusal_after_a_silence_is_a_chunk_of_the_stream(
    client_of: Any, cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CompletionsConsumer, "ping_seconds", 0.05)
    gate = threading.Event()
    provider.script = Script(before=gate, status=400, refusal=REFUSAL)
    with client_of(cast.alice).stream("POST", URL, json={**ASKED, "stream": True}) as answer:
        lines = answer.iter_lines()
        while not next(lines).startswith(": ping"):
            pass
        gate.set()
        (error,) = [chunk["error"] for chunk in chunks_of(lines) if "error" in chunk]
    assert (error["code"], error["param"], error["type"]) == ("too_bad", "x", "invalid_request_error")
    assert "is wrong" in error["message"]
    assert KEY not in json.dumps(error)


def test_who_answered_is_in_the_headers_of_both_forms(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    Price.objects.create(
        workspace_id=cast.alice.principal.workspace.id,
        model="local",
        input=3_000_000,
        output=5_000_000,
        effective_from="2026-01-01T00:00Z",
    )
    provider.script = Script(usage=(7, 9))
    client = client_of(cast.alice)
    whole = client.post(URL, json=ASKED)
    line = UsageRecord.objects.latest("id")
    assert whole.headers["x-switchyard-call-id"] == str(line.call_id)
    assert (whole.headers["x-switchyard-model"], whole.headers["x-switchyard-provider"]) == ("local", "local")
    assert whole.headers["x-switchyard-cost"] == "0.000066"
    assert whole.json()["usage"]["cost"] == 0.000066
    headers, _ = streamed(client)
    assert headers["x-switchyard-call-id"] == str(UsageRecord.objects.latest("id").call_id)
    assert (headers["x-switchyard-model"], headers["x-switchyard-provider"]) == ("local", "local")


def test_a_bound_above_the_models_own_is_lowered_and_reported(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        LanguageModel.objects.filter(slug="local").update(output_bound=50)
    client = client_of(cast.alice)
    answer = client.post(URL, json={**ASKED, "max_tokens": 60})
    assert provider.requests[-1]["max_tokens"] == 50
    assert (answer.status_code, answer.headers["x-switchyard-max-tokens"]) == (200, "50")
    assert "x-switchyard-max-tokens" not in client.post(URL, json={**ASKED, "max_tokens": 50}).headers


def test_a_fallback_that_answers_is_named(
    client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1:9"]
    workspace_id = cast.alice.principal.workspace.id
    with tenant_scope(cast.alice.principal.tenant):
        credential = add_credential(
            workspace_id=workspace_id,
            name="Dead",
            kind="compatible",
            key="k",
            base_url="http://127.0.0.1:9/v1",
        )
        bounds = {"context_window": 8000, "output_bound": 100}
        install_model(credential=credential, slug="dead", upstream_name="dead", enabled=True, **bounds)
        set_fallback(workspace_id=workspace_id, slug="dead", fallback="local")
    client = client_of(cast.alice)
    whole = client.post(URL, json={**ASKED, "model": "dead"})
    assert (whole.headers["x-switchyard-model"], whole.json()["model"]) == ("local", "local")
    headers, chunks = streamed(client, model="dead")
    assert headers["x-switchyard-model"] == "local"
    assert {chunk["model"] for chunk in chunks if text_of([chunk])} == {"local"}


def test_everything_that_a_model_answers_reaches_the_client(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": "https://example.com", "title": "E"}}]
    provider.script = Script(
        steps=["Hello"],
        deltas=[{"reasoning_content": "Hm."}, {"refusal": "No."}, {"annotations": cited}],
        usage=(10, 5),
        usage_details={
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    )
    client = client_of(cast.alice)
    whole = client.post(URL, json=ASKED).json()
    message = whole["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"], message["refusal"]) == ("Hello", "Hm.", "No.")
    assert message["annotations"] == cited
    _, chunks = streamed(client, stream_options={"include_usage": True})
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    for name, value in {"reasoning_content": "Hm.", "refusal": "No.", "annotations": cited}.items():
        assert [delta[name] for delta in deltas if delta.get(name)] == [value]
    for usage in (whole["usage"], chunks[-1]["usage"]):
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (10, 5, 15)
        assert usage["prompt_tokens_details"]["cached_tokens"] == 4
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


def test_a_repeated_key_gets_the_same_reply_and_costs_nothing_more(
    client_of: Any, cast: Cast, provider: ScriptedProvider, at_once: Any
) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    provider.script = Script(deltas=[{"reasoning_content": "Hm."}], tool_calls=[call])
    client = client_of(cast.alice)
    client.headers["Idempotency-Key"] = str(uuid4())
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    first, again = (client.post(URL, json={**ASKED, "tools": tools}) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert again.json()["choices"] == first.json()["choices"]
    assert (again.json()["id"], again.json()["usage"]) == (first.json()["id"], first.json()["usage"])
    assert again.headers["x-switchyard-call-id"] == first.headers["x-switchyard-call-id"]
    assert UsageRecord.objects.count() == len(provider.requests) == 1
    for other in ({"temperature": 1}, {"stream": True}):
        refused = client.post(URL, json={**ASKED, "tools": tools, **other})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_conflict")
    elsewhere = client.post("/v1/chat/send", json={"message": "hi", "model": "local", "mcps": []})
    assert elsewhere.status_code == 409


def test_a_repeated_key_gets_the_same_stream(client_of: Any, cast: Cast, provider: ScriptedProvider) -> None:
    client = client_of(cast.alice)
    client.headers["Idempotency-Key"] = str(uuid4())
    (_, first), (_, again) = streamed(client), streamed(client)
    assert text_of(again) == text_of(first) == "Hello there."
    assert again[-1]["choices"][0]["finish_reason"] == first[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["id"] for chunk in again} == {chunk["id"] for chunk in first}
    assert len(provider.requests) == 1


def test_concurrent_requests_with_one_key_make_one_call(
    cast: Cast, provider: ScriptedProvider, at_once: Any
) -> None:
    request = httpx.Request("POST", URL, json=ASKED, headers={"Idempotency-Key": "same"})
    answers = at_once(cast.alice, [request] * 8)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert {answer.json()["choices"][0]["message"]["content"] for answer in answers} == {"Hello there."}
    assert len(provider.requests) == 1


def test_a_client_that_left_asks_for_the_reply_again_with_its_key(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["Half ", gate, "and half."])
    client = client_of(cast.alice)
    client.headers["Idempotency-Key"] = str(uuid4())
    with client.stream("POST", URL, json={**ASKED, "stream": True}) as answer:
        next(answer.iter_lines())
    gate.set()
    _, chunks = streamed(client)
    assert text_of(chunks) == "Half and half."
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "case",
    [
        (Script(status=400, refusal=REFUSAL), 400, "invalid_request_error", "too_bad"),
        (Script(status=422, refusal={"detail": "Never."}), 400, "invalid_request_error", "provider_error"),
        (Script(status=401, refusal={"error": KEY}), 502, "api_error", "provider_error"),
        (Script(status=404, refusal={}), 404, "not_found_error", "model_not_found"),
        (Script(status=429, retry_after="120"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (Script(status=503, retry_after="120"), 503, "api_error", "provider_error"),
        (Script(status=529, retry_after="120"), 503, "api_error", "provider_error"),
        (Script(status=500, retry_after="120"), 502, "api_error", "provider_error"),
        (
            Script(status=400, refusal={"error": {"code": "context_length_exceeded"}}),
            400,
            "invalid_request_error",
            "context_length_exceeded",
        ),
    ],
)
def test_a_refusal_has_the_status_and_code_on_which_clients_act(
    client_of: Any, cast: Cast, provider: ScriptedProvider, case: tuple[Script, int, str, str]
) -> None:
    script, status, kind, code = case
    provider.script = script
    client = client_of(cast.alice)
    for body in (ASKED, {**ASKED, "stream": True}):
        forget_breakers()
        answer = client.post(URL, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (status, kind, code)
        assert answer.headers.get("retry-after", "") == script.retry_after
        assert KEY not in answer.text
    assert BudgetWindow.objects.get().used == BudgetWindow.objects.get().reserved == 0


def test_an_open_breaker_is_a_503_with_the_time_to_wait(
    client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.LOCAL_MODEL_URL = "http://127.0.0.1:9"
    client = client_of(cast.alice)
    answers = [client.post(URL, json=ASKED) for _ in range(3)]
    assert answers[0].status_code == 502
    assert (answers[-1].status_code, answers[-1].json()["error"]["type"]) == (503, "api_error")
    assert int(answers[-1].headers["retry-after"]) > 0


ODD_KEY = "one-of-no-known-form"


@pytest.mark.parametrize(
    ("script", "url", "details", "words"),
    [
        (
            Script(error={"message": f"Overheated by {ODD_KEY} again", "code": "heat"}),
            "",
            {
                "provider_status": 200,
                "provider_code": "heat",
                "provider_message": "Overheated by [removed] again",
            },
            "Overheated",
        ),
        (Script(), "http://127.0.0.1:9", {"provider_status": None}, "cannot be reached"),
        (Script(steps=["Half "], dies=True), "", {"provider_status": None}, "provider failed"),
    ],
)
def test_why_a_call_failed_is_stored_with_the_turn_and_logged_with_the_request(  # noqa: PLR0917 - fixtures
    client_of: Any,
    cast: Cast,
    provider: ScriptedProvider,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    script: Script,
    url: str,
    details: dict[str, Any],
    words: str,
) -> None:
    caplog.set_level(logging.WARNING)
    provider.script = script
    scripted, principal = settings.LOCAL_MODEL_URL, cast.alice.principal
    settings.OUTBOUND_ALLOWED = [(url or scripted).removeprefix("http://")]
    with tenant_scope(principal.tenant):
        credential = add_credential(
            workspace_id=principal.workspace.id,
            name="Odd",
            kind="compatible",
            key=ODD_KEY,
            base_url=f"{url or scripted}/v1",
        )
        bounds = {"context_window": 8000, "output_bound": 100}
        install_model(credential=credential, slug="odd", upstream_name="odd", enabled=True, **bounds)
    answer = client_of(cast.alice).post(URL, json={**ASKED, "model": "odd"})
    error = answer.json()["error"]
    with tenant_scope(principal.tenant):
        turn = Turn.objects.get()
    assert (answer.status_code, turn.finish_reason, turn.error["request_id"]) == (
        502,
        "error",
        error["request_id"],
    )
    assert words in error["message"]
    assert turn.error["message"] == error["message"]
    assert turn.error["details"].items() >= details.items()
    failed = [record.msg for record in caplog.records if "a model call failed" in str(record.msg)]
    assert isinstance(failed[0], dict)
    assert (
        failed[0].items()
        >= {
            "request_id": error["request_id"],
            "turn_id": str(turn.id),
            "model": "odd",
            **details,
        }.items()
    )
    assert ODD_KEY not in answer.text + caplog.text + json.dumps(turn.error)
    entry = AuditEntry.objects.get(action="model.failed")
    assert (entry.tenant_id, entry.workspace_id) == (principal.tenant.id, principal.workspace.id)
    assert (entry.target, entry.request_id) == ("odd", error["request_id"])
    assert words in entry.details["reason"]
    assert ODD_KEY not in json.dumps(entry.details)


def test_why_a_provider_refused_is_stored_with_the_turn_and_logged_with_the_request(
    client_of: Any, cast: Cast, provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    provider.script = Script(status=400, refusal=REFUSAL)
    answer = client_of(cast.alice).post(URL, json=ASKED)
    request_id = answer.json()["error"]["request_id"]

    def stored() -> Any:
        with tenant_scope(cast.alice.principal.tenant):
            return Turn.objects.get().error

    wait_until(lambda: stored() is not None)
    details = stored()["details"]
    assert stored()["request_id"] == request_id
    assert (details["provider_status"], details["provider_code"], details["provider_param"]) == (
        400,
        "too_bad",
        "x",
    )
    assert details["provider_message"] == "No, [removed] is wrong."
    (line,) = [record.msg for record in caplog.records if "a provider refused" in str(record.msg)]
    assert isinstance(line, dict)
    assert (line["request_id"], line["status"]) == (request_id, 400)
    assert "too_bad" in line["said"]
    assert KEY not in caplog.text
