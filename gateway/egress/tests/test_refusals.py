"""Refusals for an engine: a status for which it does not repeat the call, or a line in the stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from django.db import connection

from accounts.tests.cast import Cast
from gateway.egress.consumers import ALLOWED, engine_status
from gateway.egress.tests.engine import (
    DONE,
    Engine,
    EngineTurn,
    counters,
    deltas,
    last_call,
    ledger,
    received,
)
from gateway.egress.tests.remote import KEY, RemoteProvider, install
from gateway.providers.tests import scripted_openai as openai
from gateway.tests.scripted_provider import Script, ScriptedProvider
from kit.errors import DomainError, all_errors
from kit.tenancy import tenant_scope
from quotas.models import Hold
from quotas.reservations import close_turn
from quotas.tests.ledger import limit_to
from workspaces.language_models.models import ProviderCredential

Begin = Callable[..., EngineTurn]


def limit_budget(cast: Cast, tokens: int) -> None:
    limit_to(cast.alice, tokens)


def refused(answer: httpx.Response, turn: EngineTurn) -> tuple[int, str]:
    """Status and code; asserts that the turn has the same error."""
    error, noted = answer.json()["error"], last_call(turn)
    assert error["request_id"]
    assert noted is not None
    assert noted["error"] == {**error, "request_id": ""}
    return answer.status_code, error["code"]


@contextmanager
def broken(table: str) -> Iterator[None]:
    """The database refuses every write to the table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'the disk is full'; END $$ "
            f"LANGUAGE plpgsql; CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize("stream", [True, None])
def test_a_first_call_that_the_budget_does_not_cover(
    engine: Engine, begin: Begin, cast: Cast, provider: ScriptedProvider, stream: bool | None
) -> None:
    limit_budget(cast, 100)
    turn = begin()
    answer = engine.call(turn, max_tokens=98, stream=stream)
    assert refused(answer, turn) == (402, "quota_exceeded")
    details = answer.json()["error"]["details"]
    # The turn's own reservation does not count against it.
    assert (details["limit"], details["used"], details["reserved"], details["requested"]) == (100, 0, 0, 101)
    assert (provider.requests, counters()) == ([], (0, 23))


def test_a_second_call_that_the_budget_does_not_cover(
    engine: Engine, begin: Begin, cast: Cast, provider: ScriptedProvider
) -> None:
    limit_budget(cast, 100)
    provider.script = Script(usage=(30, 50))
    turn = begin()
    received(engine.call(turn))
    assert last_call(turn) == {"finish_reason": "stop"}
    again = [{"role": "user", "content": "again"}]
    assert refused(engine.call(turn, messages=again), turn) == (402, "quota_exceeded")
    assert (len(provider.requests), counters()) == (1, (80, 0))


def test_a_prompt_that_does_not_fit_the_context_window(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    turn = begin()
    answer = engine.call(turn, messages=[{"role": "user", "content": "word " * 5000}])
    assert refused(answer, turn) == (400, "context_too_long")
    assert provider.requests == []


def test_a_prompt_that_is_too_long_for_the_provider(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider
) -> None:
    install(cast.alice, remote.url)
    remote.lines = [openai.chunk({"content": "So "}), b'data: {"error": {"code": 400}}\n\n']
    turn = begin(model="gpt")
    said = received(engine.call(turn))
    assert isinstance(said[-1], dict)
    assert said[-1]["error"]["code"] == "provider_error"
    assert DONE not in said


def test_a_turn_that_makes_too_many_calls(
    engine: Engine, begin: Begin, provider: ScriptedProvider, settings: Any
) -> None:
    settings.TURN_MAX_CALLS = 2
    turn = begin()
    for number in range(2):
        received(engine.call(turn, messages=[{"role": "user", "content": f"call {number}"}]))
    assert refused(engine.call(turn), turn) == (409, "turn_limit")
    assert len(provider.requests) == 2


SAID = "the provider's own words: [removed]"
WORDS = f"It says: {SAID}"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, f"The provider refused the request. {WORDS}"),
        (401, f"The provider rejected the API key. {WORDS}"),
        (404, f"The provider does not know this model, or has no such address. {WORDS}"),
        (408, "The model's provider failed. Try again, or choose another model."),
        (422, f"The provider refused the request. {WORDS}"),
    ],
)
def test_a_providers_refusal_is_a_line_with_its_words_and_no_key(  # noqa: PLR0917 - fixtures
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider, status: int, text: str
) -> None:
    install(cast.alice, remote.url)
    remote.script = Script(status=status)
    turn = begin(model="gpt")
    answer = engine.call(turn)
    said = received(answer)
    assert said[-1] == {
        "error": {
            "message": text,
            "type": "api_error",
            "code": "provider_error",
        }
    }
    assert DONE not in said
    assert not any(word in answer.text for word in ("sk-secret", KEY, remote.url))
    noted = last_call(turn)
    assert noted is not None
    details = noted["error"]["details"]
    assert (details["provider_status"], details["provider_message"]) == (status, SAID)
    assert counters()[1] == 0


def test_without_a_stream_a_providers_refusal_gets_our_status(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(status=401)
    answer = engine.call(begin(), stream=None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "provider_error")
    assert "sk-secret" not in answer.text
    assert counters() == (0, 0)


def test_a_provider_that_dies_during_a_reply_is_charged_for_its_output(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Half ", "a "], dies=True)
    said = received(engine.call(begin()))
    assert deltas(said, "content") == ["Half ", "a "]
    assert isinstance(said[-1], dict)
    assert said[-1]["error"]["code"] == "provider_error"
    assert (ledger(), counters()) == ([(3, 2, "estimated")], (5, 0))


@pytest.mark.parametrize("sealed", ["garbage", "gAAAAABm", "\N{KEY}"])
def test_a_key_that_cannot_be_read(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider, sealed: str
) -> None:
    install(cast.alice, remote.url)
    with tenant_scope(cast.alice.principal.tenant):
        ProviderCredential.objects.update(sealed_key=sealed)
    turn = begin(model="gpt")
    assert refused(engine.call(turn), turn) == (400, "provider_error")
    assert (remote.requests, counters()) == ([], (0, 23))


def test_a_database_that_fails_at_the_hold(engine: Engine, begin: Begin, provider: ScriptedProvider) -> None:
    turn = begin()
    with broken("quotas_hold"):
        answer = engine.call(turn)
    assert refused(answer, turn) == (400, "internal")
    assert "disk" not in answer.text
    assert (provider.requests, counters()) == ([], (0, 23))
    received(engine.call(turn))


def test_a_database_failure_at_the_settlement_is_a_line_in_the_stream(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(usage=(3, 9))
    turn = begin()
    with broken("quotas_usagerecord"):
        said = received(engine.call(turn))
    assert isinstance(said[-1], dict)
    assert said[-1]["error"]["code"] == "internal"
    assert DONE not in said
    assert (counters(), Hold.objects.get().state) == ((0, 23), "sent")
    close_turn(turn_id=turn.id)
    assert (ledger(), counters()) == ([(3, 0, "estimated")], (3, 0))


def test_an_end_that_cannot_be_stored_is_still_sent(engine: Engine, begin: Begin) -> None:
    turn = begin()
    with broken(f"{turn.tenant.schema_name}.gateway_turn"):
        assert received(engine.call(turn))[-1] == DONE
        assert engine.call(turn, messages=[]).status_code == 400
        engine.call(turn)
        assert (
            engine.call(turn).status_code == 409
        )  # the third of the same request, whether its end was stored or not
    assert (last_call(turn), counters()) == (None, (12, 0))


@pytest.mark.parametrize("bound", [10**10, 2**63 - 1, 10**30])
def test_an_absurd_bound_is_refused(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider, bound: int
) -> None:
    install(cast.alice, remote.url)
    turn = begin(model="gpt")
    assert engine.call(turn, max_tokens=bound).status_code in {400, 402}
    assert (remote.requests, counters()) == ([], (0, 23))


def test_no_error_has_a_status_that_engines_would_repeat() -> None:
    assert {engine_status(_made(kind)) for kind in all_errors()} <= ALLOWED


def _made(kind: type[DomainError]) -> DomainError:
    error = kind.__new__(kind)
    DomainError.__init__(error)
    return error


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        {"response_format": {"description": "x" * 200_000}},
        {"tools": [{"type": "web_search"}]},
    ],
)
def test_requests_whose_cost_cannot_be_bounded_are_refused(
    engine: Engine, begin: Begin, wrong: dict[str, Any]
) -> None:
    answer = engine.call(begin(), **wrong)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
