"""Any input gets the right status and code in our error format, and leaves nothing reserved."""

import json
import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from gateway.tests.events import read_events, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from quotas.models import BudgetWindow, Hold

JSON = {"Content-Type": "application/json"}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error, after checking its format."""
    received = answer.json()
    assert set(received) == {"error"}
    assert set(received["error"]) >= {"code", "message", "details", "request_id"}
    assert received["error"]["request_id"] == answer.headers["x-request-id"]
    error: dict[str, Any] = received["error"]
    return error


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"{", (400, "invalid_json")),
        (b"\xff\xfe", (400, "invalid_json")),
        (b'{"message": NaN}', (400, "invalid_json")),
        (b"[" * 100_000, (400, "invalid_json")),
        (b'{"a":' * 100 + b"1" + b"}" * 100, (400, "invalid_json")),
        (b"[]", (422, "invalid_input")),
        (b'"text"', (422, "invalid_input")),
        (b"{}", (422, "invalid_input")),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/send", "/v1/chat/completions", "/v1/chat/explain"])
def test_malformed_bodies_are_named(
    client_of: Any, cast: Cast, path: str, content: bytes, received: tuple[int, str]
) -> None:
    answer = client_of(cast.alice).post(path, content=content, headers=JSON)
    status, code = received
    if path == "/v1/chat/completions":
        status = 400  # as OpenAI answers
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": 12},
        {"message": ""},
        {"message": "  "},
        {"message": "nul \0"},
        {"message": "surrogate \ud800"},
        {"model": None},
        {"model": ["local"]},
        {"mcps": "google_search"},
        {"mcps": [1]},
        {"mcps": {"a": 1}},
        {"conversation_id": "not-a-uuid"},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": True},
        {"max_tokens": "12"},
        {"max_tokens": 10**30},
        {"temperature": 9},
        {"temperature": "warm"},
    ],
)
def test_wrong_fields_are_named_one_by_one(client_of: Any, cast: Cast, wrong: dict[str, Any]) -> None:
    answer = client_of(cast.alice).post(
        "/v1/chat/send",
        content=json.dumps({"message": "hi", "model": "local", **wrong}),
        headers=JSON,
    )
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (422, "invalid_input")
    assert list(error["details"]) == list(wrong)


@pytest.mark.parametrize(
    ("length", "received"),
    [
        (2_000_000, (422, "context_too_long")),  # only the model's window decides
        (10_000_000, (422, "invalid_input")),
        (33_000_000, (413, "payload_too_large")),
    ],
)
def test_a_message_that_is_too_long_is_refused_at_any_length(
    client_of: Any, cast: Cast, provider: ScriptedProvider, length: int, received: tuple[int, str]
) -> None:
    answer = send(client_of(cast.alice), "a " * (length // 2))
    assert (answer.status_code, error_of(answer)["code"]) == received
    assert provider.requests == []


def test_a_long_message_that_fits_reaches_the_model(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    text = "a" * 2_000_000  # a word, and so a token of the scripted model
    assert send(client_of(cast.alice), text).status_code == 200
    assert provider.requests[-1]["messages"][-1]["content"] == text


def test_a_body_of_10_mb_is_too_large_for_rest_as_well(client_of: Any, cast: Cast) -> None:
    answer = client_of(None).post("/v1/auth/token", json={"email": "a" * 10_000_000, "password": "x"})
    assert (answer.status_code, error_of(answer)["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("path", ["/v1/chat/send", "/v1/auth/token"])
def test_other_media_types_are_refused(client_of: Any, cast: Cast, path: str) -> None:
    answer = client_of(cast.alice).post(path, data={"message": "hi"})
    assert (answer.status_code, error_of(answer)["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/chat/send", "/v1/auth/token", "/v1/conversations"])
def test_other_methods_are_refused(client_of: Any, cast: Cast, path: str) -> None:
    answer = client_of(cast.alice).put(path, json={})
    assert (answer.status_code, error_of(answer)["code"]) == (405, "method_not_allowed")


def test_an_unknown_url_is_404_in_the_same_format(client_of: Any, cast: Cast) -> None:
    answer = client_of(cast.alice).get("/v1/nothing")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


def test_another_host_name_is_refused(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    assert client.post("/v1/chat/send", json={}, headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/v1/conversations", headers={"Host": "evil.example"}).status_code == 400


def test_a_model_that_is_not_enabled_is_refused_with_those_that_are(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    answer = send(client_of(cast.alice), "hi", model="gpt-4")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (403, "model_not_enabled")
    assert error["details"] == {"model": "gpt-4", "enabled": ["local"]}
    assert provider.requests == []


def test_an_mcp_server_that_is_not_enabled_is_refused(client_of: Any, cast: Cast) -> None:
    answer = send(client_of(cast.alice), "hi", mcps=["google_search"])
    assert (answer.status_code, error_of(answer)["code"]) == (403, "mcp_not_enabled")


def test_an_unknown_conversation_is_404(client_of: Any, cast: Cast) -> None:
    answer = send(client_of(cast.alice), "hi", conversation_id=str(uuid4()))
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


def nothing_is_held() -> bool:
    reserved = BudgetWindow.objects.filter(reserved__gt=0).exists()
    return not reserved and not Hold.objects.filter(state__in=["held", "sent"]).exists()


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_refusing_provider_is_a_502_without_cost_in_its_own_words_but_without_its_key(
    client_of: Any, cast: Cast, provider: ScriptedProvider, status: int
) -> None:
    provider.script = Script(status=status)
    answer = send(client_of(cast.alice), "hi")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (502, "provider_error")
    assert error["details"]["provider_status"] == status
    assert error["details"]["provider_message"] == "the provider's own words: [removed]"
    assert error["details"]["usage"]["total_tokens"] == 0
    assert "sk-secret" not in answer.text
    assert nothing_is_held()


def test_a_dead_provider_is_a_502_that_costs_nothing(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.LOCAL_MODEL_URL = "http://127.0.0.1:9"
    answer = send(client_of(cast.alice), "hi")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (502, "provider_error")
    assert error["details"]["usage"]["total_tokens"] == 0
    assert nothing_is_held()


def test_a_provider_that_dies_mid_reply_leaves_a_charged_partial_reply(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Half ", "a "], dies=True)
    client = client_of(cast.alice)
    answer = send(client, "hi")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (502, "provider_error")
    assert (error["details"]["reply"], error["details"]["finish_reason"]) == ("Half a ", "error")
    assert error["details"]["usage"]["output_tokens"] == 2
    assert error["details"]["usage"]["exactness"] == "estimated"
    messages = client.get(f"/v1/conversations/{error['details']['conversation_id']}/messages").json()["data"]
    assert (messages[1]["content"], messages[1]["finish_reason"]) == ("Half a ", "error")
    assert nothing_is_held()


@pytest.mark.parametrize("hangs", [True, False])
def test_a_connection_that_breaks_after_the_end_is_ignored(
    client_of: Any, cast: Cast, provider: ScriptedProvider, hangs: bool
) -> None:
    after_done = threading.Event()
    if not hangs:
        after_done.set()
    provider.script = Script(after_done=after_done)
    answer = send(client_of(cast.alice), "Say hello").json()
    after_done.set()
    assert (answer["reply"], answer["finish_reason"]) == ("Hello there.", "stop")
    assert answer["usage"]["exactness"] == "exact"


def test_in_a_stream_the_error_precedes_usage_and_done(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Half "], dies=True)
    events = read_events(client_of(cast.alice), "hi")
    assert [event.type for event in events] == ["started", "delta", "error", "usage", "done"]
    assert events[2].data["error"]["code"] == "provider_error"


@pytest.mark.parametrize(
    ("steps", "received"),
    [
        (["Hello nul \0", " here"], "Hello nul \ufffd here"),
        (["half \ud83d", "\ude00 joined"], "half \U0001f600 joined"),
        (["lone \ud83d"], "lone \ufffd"),
    ],
)
def test_text_that_cannot_be_stored_is_repaired(
    client_of: Any, cast: Cast, provider: ScriptedProvider, steps: list[str], received: str
) -> None:
    provider.script = Script(steps=list(steps))
    client = client_of(cast.alice)
    answer = send(client, "hi").json()
    assert (answer["reply"], answer["finish_reason"]) == (received, "stop")
    assert nothing_is_held()
    events = read_events(client, "again", conversation_id=answer["conversation_id"])
    assert "".join(event.data["text"] for event in events if event.type == "delta") == received


def test_a_long_message_to_a_dead_provider_is_a_provider_error(
    client_of: Any, cast: Cast, settings: Any
) -> None:
    settings.LOCAL_MODEL_URL = "http://127.0.0.1:9"
    answer = send(client_of(cast.alice), "a" * 5000)
    assert (answer.status_code, error_of(answer)["code"]) == (502, "provider_error")


@pytest.mark.parametrize("last_id", ["0" * 20 + "9" * 5000, "9" * 200, "-1", "1.5", "\u0661"])
def test_an_odd_last_event_id_is_named(client_of: Any, cast: Cast, last_id: str) -> None:
    client = client_of(cast.alice)
    turn_id = send(client, "hi").json()["turn_id"]
    headers = {b"Last-Event-ID": last_id.encode()}
    answer = client.get(f"/v1/chat/turns/{turn_id}/events", headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {"messages": [{"role": "user", "content": "x", "\ud800": 1}]},
        {"stop": "\udfff"},
        {"tools": [{"type": "function", "function": {"name": "\ud800"}}]},
    ],
)
def test_half_a_surrogate_pair_in_a_completion_is_named(
    client_of: Any, cast: Cast, provider: ScriptedProvider, wrong: dict[str, Any]
) -> None:
    body = {"model": "local", "messages": [{"role": "user", "content": "x"}], **wrong}
    answer = client_of(cast.alice).post("/v1/chat/completions", content=json.dumps(body), headers=JSON)
    error = error_of(answer)
    assert (answer.status_code, list(error["details"])) == (400, list(wrong))
    assert error["param"] == next(iter(wrong))
    assert provider.requests == []


def test_a_number_beyond_all_bounds_is_no_json(client_of: Any, cast: Cast) -> None:
    content = '{"model": "local", "messages": [{"role": "user", "content": "x"}], "top_p": 1e999}'
    answer = client_of(cast.alice).post("/v1/chat/completions", content=content, headers=JSON)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_json")


def test_a_refusal_is_audited_with_its_code(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    send(client, "hi", model="gpt-4")
    send(client, "hi", conversation_id=str(uuid4()))
    codes = (
        AuditEntry.objects.filter(action="turn.refused")
        .order_by("at")
        .values_list("details__code", flat=True)
    )
    assert list(codes) == ["model_not_enabled", "not_found"]


def test_a_spoofed_forwarded_address_is_not_believed(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    client.headers["X-Forwarded-For"] = "203.0.113.9"
    send(client, "hi", model="gpt-4")
    assert AuditEntry.objects.get(action="turn.refused").address == "127.0.0.1"


def test_answers_of_consumers_carry_the_security_headers(client_of: Any, cast: Cast) -> None:
    headers = send(client_of(cast.alice), "hi").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]


def test_the_limit_of_concurrent_turns_per_process_holds(
    client_of: Any, cast: Cast, provider: ScriptedProvider, at_once: Any, settings: Any
) -> None:
    settings.MAX_RUNNING_TURNS = 3
    gate = threading.Event()
    provider.script = Script(steps=["x", gate])
    waiting = threading.Thread(target=lambda: (wait_until(lambda: len(provider.requests) == 3), gate.set()))
    waiting.start()
    body = {"message": "hi", "model": "local"}
    answers = at_once(cast.alice, [httpx.Request("POST", "/v1/chat/send", json=body) for _ in range(12)])
    waiting.join()
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 3
    assert statuses.count(503) == 9


def test_a_provider_that_reports_no_usage_is_counted_by_us(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(usage=None)
    usage = send(client_of(cast.alice), "Say hello").json()["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["exactness"]) == (3, 2, "unreported")


def test_a_provider_that_reports_less_than_it_streamed_is_corrected(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["one ", "two ", "three "], usage=(3, 1))
    usage = send(client_of(cast.alice), "Say hello").json()["usage"]
    assert (usage["output_tokens"], usage["exactness"]) == (3, "estimated")


def test_a_turn_that_takes_too_long_ends_with_its_partial_reply(
    client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.TURN_MAX_SECONDS = 1
    provider.script = Script(steps=["Half ", threading.Event()])
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, error_of(answer)["code"]) == (504, "provider_timeout")
    assert error_of(answer)["details"]["reply"] == "Half "
    assert nothing_is_held()


def test_beyond_the_process_capacity_a_turn_is_refused(client_of: Any, cast: Cast, settings: Any) -> None:
    settings.MAX_RUNNING_TURNS = 0
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, error_of(answer)["code"]) == (503, "at_capacity")
