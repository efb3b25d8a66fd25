"""A call is answered only for a running turn by all its ids; somebody else's looks as none."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.utils import timezone

from accounts.models import Tenant
from accounts.tests.cast import Cast
from gateway.egress.tests.engine import Engine, EngineTurn, begin_turn, body, counters, last_call
from gateway.models import Conversation, Turn
from gateway.tests.scripted_provider import ScriptedProvider
from kit.tenancy import tenant_scope
from quotas.reservations import close_turn
from workspaces.language_models.models import LanguageModel

Begin = Callable[..., EngineTurn]
WHATEVER = UUID("12345678-1234-5678-1234-567812345678")


def refusal_of(answer: httpx.Response) -> dict[str, Any]:
    """The error without the request's id, and what else could tell one 404 from another."""
    error: dict[str, Any] = answer.json()["error"]
    assert error.pop("request_id") == answer.headers["x-request-id"]
    return {**error, "headers": sorted(answer.headers)}


@pytest.mark.parametrize(
    "forged",
    [
        {"id": WHATEVER},
        {"id": "no-uuid"},
        {"id": ""},
        {"id": "{{LIBRECHAT_BODY_MESSAGEID}}"},
        {"conversation_id": WHATEVER},
        {"conversation_id": "new"},
        {"engine_user_id": "another account"},
        {"engine_user_id": ""},
    ],
)
def test_forged_ids_find_nothing(
    engine: Engine, begin: Begin, provider: ScriptedProvider, forged: dict[str, Any]
) -> None:
    turn = begin()
    unknown, answer = engine.call(turn.saying(id=uuid4())), engine.call(turn.saying(**forged))
    assert answer.status_code == unknown.status_code == 404
    assert refusal_of(answer) == refusal_of(unknown)
    assert (provider.requests, last_call(turn)) == ([], None)


@pytest.mark.parametrize("whose", ["alice", "bob", "dana", "charlie"])
def test_the_ids_of_two_turns_do_not_mix(
    engine: Engine, cast: Cast, begin: Begin, provider: ScriptedProvider, whose: str
) -> None:
    turn, other = begin(), begin_turn(getattr(cast, whose))
    mixed = [turn.saying(id=other.id), turn.saying(conversation_id=other.conversation_id)]
    if whose != "alice":
        mixed += [turn.saying(engine_user_id=other.engine_user_id)]
        mixed += [other.saying(engine_user_id=turn.engine_user_id)]
    unknown = refusal_of(engine.call(turn.saying(id=uuid4())))
    assert [refusal_of(engine.call(ids)) for ids in mixed] == [unknown] * len(mixed)
    assert (provider.requests, last_call(turn), last_call(other)) == ([], None, None)


def test_a_model_that_took_a_removed_ones_name_is_not_called(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    turn = begin()
    with tenant_scope(turn.tenant):
        Turn.objects.filter(id=turn.id).update(model_id=uuid4())  # of the removed one
    assert engine.call(turn).json()["error"]["code"] == "model_not_enabled"
    assert provider.requests == []


def test_a_call_without_any_ids_finds_nothing(engine: Engine, begin: Begin) -> None:
    begin()
    assert engine.client.post("/v1/chat/completions", json=body()).status_code == 404


def test_a_turn_that_an_engine_does_not_run_finds_nothing(engine: Engine, begin: Begin, cast: Cast) -> None:
    turn = begin()
    with tenant_scope(turn.tenant):
        Conversation.objects.update(engine_account_id=None)
    assert engine.call(turn).status_code == 404
    with tenant_scope(turn.tenant):
        Turn.objects.update(conversation=None)
    assert engine.call(turn).status_code == 404


def test_an_account_that_was_never_registered_is_nobodys(engine: Engine, begin: Begin, cast: Cast) -> None:
    turn = begin()
    Tenant.objects.get(id=turn.tenant.id).engine_accounts.update(engine_user_id="")
    assert engine.call(turn.saying(engine_user_id="")).status_code == 404


def test_a_tenant_that_is_suspended_finds_nothing(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    turn = begin()
    unknown = engine.call(turn.saying(id=uuid4()))
    Tenant.objects.filter(id=turn.tenant.id).update(suspended_at=timezone.now())
    assert refusal_of(engine.call(turn)) == refusal_of(unknown)
    assert provider.requests == []


@pytest.mark.parametrize(
    "change",
    [{"status": Turn.Status.DONE, "finish_reason": "stop"}, {"stop_requested_at": "2026-01-01T00:00:00Z"}],
)
def test_a_turn_that_has_ended_or_was_stopped_makes_no_more_calls(
    engine: Engine, begin: Begin, provider: ScriptedProvider, change: dict[str, str]
) -> None:
    turn = begin()
    with tenant_scope(turn.tenant):
        Turn.objects.update(**change)
    answer = engine.call(turn)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "turn_interrupted")
    assert provider.requests == []


def test_a_turn_whose_reservation_is_closed_makes_no_more_calls(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    turn = begin()
    close_turn(turn_id=turn.id)
    assert engine.call(turn).status_code == 409
    assert (provider.requests, counters()) == ([], (0, 0))


@pytest.mark.parametrize("change", [{"enabled": False}, {"slug": "renamed"}])
def test_a_model_that_was_disabled_meanwhile_is_refused_and_the_turn_knows_why(
    engine: Engine, begin: Begin, provider: ScriptedProvider, change: dict[str, Any]
) -> None:
    turn = begin()
    with tenant_scope(turn.tenant):
        LanguageModel.objects.filter(slug="local").update(**change)
    answer = engine.call(turn)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_enabled")
    assert provider.requests == []
    noted = last_call(turn)
    assert noted is not None
    assert noted["error"]["code"] == "model_not_enabled"


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "local"},
        {"model": None},
        {"model": ["routed"]},
        {"messages": None},
        {"messages": []},
        {"messages": "hi"},
        {"messages": ["hi"]},
        {"messages": [{"role": "user", "content": "hi"}, None]},
        {"messages": {"role": "user"}},
        {"tools": ["calc"]},
        {"tools": {"name": "calc"}},
    ],
)
def test_a_body_that_no_engine_sends_is_refused(
    engine: Engine, begin: Begin, provider: ScriptedProvider, fields: dict[str, Any]
) -> None:
    answer = engine.call(begin(), **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    assert provider.requests == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"\xff\xfe{}", "application/json"),
        (b'{"a":' * 100_000, "application/json"),
        (b'{"model": "routed", "temperature": NaN}', "application/json"),
        (b"model=routed", "application/x-www-form-urlencoded"),
        (b"{}", ""),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    engine: Engine, begin: Begin, content: bytes, kind: str
) -> None:
    headers = {**begin().headers, "content-type": kind}
    answer = engine.client.post("/v1/chat/completions", content=content, headers=headers)
    assert answer.status_code == 400


def test_a_body_beyond_the_limit_is_refused(engine: Engine, begin: Begin, settings: Any) -> None:
    settings.EGRESS_MAX_BODY_BYTES = 1000
    answer = engine.call(begin(), messages=[{"role": "user", "content": "a" * 1000}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "payload_too_large")


def test_calls_are_posted(engine: Engine, begin: Begin) -> None:
    turn = begin()
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = engine.client.request(method, "/v1/chat/completions", headers=turn.headers)
        assert answer.status_code == 400


def test_there_is_nothing_else_here(engine: Engine) -> None:
    paths = ["", "v1", "v1/chat/completions/", "v1/completions", "v1/embeddings", "v1/chat/send"]
    for path in [*paths, "v1/models/routed", "admin/", "static/x", "egress", "%ff%00"]:
        for method in ("GET", "POST", "DELETE"):
            answer = engine.client.request(method, f"/{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
