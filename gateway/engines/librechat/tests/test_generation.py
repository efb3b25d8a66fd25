"""A turn's generation at a replayed LibreChat: its parent, takeover and stop."""

import asyncio
import threading
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.tests.cast import Cast
from gateway.engines.base import Question, TurnJob
from gateway.engines.events import Event
from gateway.engines.librechat import generation as generation_module
from gateway.engines.librechat.accounts import Accounts
from gateway.engines.librechat.branches import START
from gateway.engines.librechat.client import LibreChatClient
from gateway.engines.librechat.generation import Generation
from gateway.engines.librechat.stream_parser import Failure, StreamItem
from gateway.engines.librechat.tests.jobs import account_of, job, next_job
from gateway.engines.librechat.tests.playback import text_of
from gateway.errors import EngineFailed, EngineUnavailable
from gateway.providers.base import Finish
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.tests.engine_client import until
from gateway.tests.replayed_librechat.tests.scripted_egress import Reply, ScriptedEgress, text
from gateway.turns.transcript import Transcript
from kit.tenancy import in_public
from quotas.tests.test_holds import held, opened

pytestmark = pytest.mark.django_db(transaction=True)
JSON = {"Content-Type": "application/json"}
SIGNED_IN = Answer([b'{"token": "t", "user": {"id": "u"}}'], headers=JSON)
STARTED = Answer([b'{"status": "started"}'], headers=JSON)


@pytest.fixture
async def turn(cast: Cast) -> TurnJob:
    """Alice's first turn in a conversation."""
    return job(engine_account_id=await account_of(cast.alice))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds otherwise."""
    monkeypatch.setattr(generation_module, "STORED_SECONDS", 0.2)
    monkeypatch.setattr(generation_module, "FIRST_PAUSE", 0.001)


async def run(turn: TurnJob, accounts: Accounts) -> list[StreamItem]:
    return [item async for item in Generation(turn, accounts).events()]


async def begin(turn: TurnJob, accounts: Accounts, count: int) -> list[Event]:
    """Starts a turn and abandons it after `count` events, as a process that dies does."""
    events: list[Event] = []
    async with aclosing(Generation(turn, accounts).events()) as items:
        async for item in items:
            assert isinstance(item, Event)
            events.append(item)
            if len(events) == count:
                break
    return events


def taken_over(turn: TurnJob, events: list[Event]) -> TurnJob:
    transcript = Transcript()
    for event in events:
        transcript.append(event)
    return replace(turn, is_takeover=True, reply_so_far=transcript.events)


def starts(librechat: ReplayedLibreChat) -> list[dict[str, Any]]:
    return [call.body for call in librechat.requests if call.path == "/api/agents/chat/Routed"]


def waiting(*words: str) -> tuple[Reply, threading.Event]:
    """A reply that pauses before its last word."""
    gate = threading.Event()
    return Reply([*text(*words[:-1]), gate, *text(words[-1])]), gate


async def test_a_first_turn_reads_no_messages(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob
) -> None:
    assert text_of(items := await run(turn, accounts)) == "You said: hi."
    assert items[-1] == Finish("stop")
    assert not [call for call in librechat.requests if call.path.startswith("/api/messages/")]
    assert models.requests[0].headers["x-message"] == str(turn.turn_id)
    assert models.requests[0].headers["x-conversation"] == str(turn.conversation_id)


async def test_a_turn_waits_for_the_previous_reply_to_be_stored(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob
) -> None:
    librechat.store_delay = 0.5
    await run(turn, accounts)
    await run(next_job(turn), accounts)
    assert starts(librechat)[-1]["parentMessageId"] == str(turn.turn_id)
    roles = [message["role"] for message in models.requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "user"]


async def test_a_reply_that_librechat_lost_is_skipped(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob, quick: None
) -> None:
    await run(turn, accounts)
    await until(lambda: librechat.counters["stored"] == 1)
    lost = next_job(turn)
    assert isinstance((await run(next_job(lost), accounts))[-1], Finish)
    assert starts(librechat)[-1]["parentMessageId"] == str(turn.turn_id)


async def test_a_turn_without_known_ancestors_starts_at_the_root(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob, quick: None
) -> None:
    await run(next_job(turn), accounts)
    assert starts(librechat)[-1]["parentMessageId"] == str(START)


async def test_a_question_is_regenerated_only_if_librechat_has_it(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob
) -> None:
    await run(turn, accounts)
    assert turn.question is not None
    again = replace(turn, turn_id=uuid4(), question=replace(turn.question, is_asked_again=True))
    assert text_of(await run(again, accounts)) == "You said: hi."
    elsewhere = replace(again, turn_id=uuid4(), conversation_id=uuid4())
    assert text_of(await run(elsewhere, accounts)) == "You said: hi."
    first, second, third = starts(librechat)
    assert second["overrideParentMessageId"] == str(turn.question.id)
    assert first["overrideUserMessageId"] == third["overrideUserMessageId"] == f"{turn.question.id}__0"
    assert "isRegenerate" not in first | third


async def test_a_takeover_continues_a_running_turn_without_repetition(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob
) -> None:
    reply, gate = waiting("One ", "two ", "three")
    models.replies = [reply]
    before = await begin(turn, accounts, 2)
    asyncio.get_running_loop().call_later(0.1, gate.set)
    rest = await run(taken_over(turn, before), accounts)
    assert (text_of(before), text_of(rest), rest[-1]) == ("One two ", "three", Finish("stop"))
    assert (librechat.counters["starts"], len(models.requests)) == (1, 1)


async def test_a_turn_that_ended_unseen_is_read_from_the_stored_reply(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob, cast: Cast
) -> None:
    turn = replace(turn, turn_id=await called(cast))
    librechat.store_delay = 0.3
    whole = await run(turn, accounts)
    rest = await run(taken_over(turn, [event for event in whole[:2] if isinstance(event, Event)]), accounts)
    assert text_of(whole[:2]) + text_of(rest) == "You said: hi."
    assert rest[-1] == Finish("stop")
    assert (librechat.counters["starts"], len(models.requests)) == (1, 1)


async def test_a_takeover_starts_a_turn_whose_process_died_before_starting_it(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob
) -> None:
    items = await run(taken_over(turn, []), accounts)
    assert (text_of(items), items[-1]) == ("You said: hi.", Finish("stop"))
    assert librechat.counters["starts"] == 1


async def test_a_turn_that_librechat_lost_fails(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob, cast: Cast, quick: None
) -> None:
    """It had made a model call, so it is not begun again."""
    items = await run(taken_over(replace(turn, turn_id=await called(cast)), []), accounts)
    assert [type(item) for item in items] == [Failure]
    assert librechat.counters["starts"] == 0


async def test_a_repeated_start_is_one_generation(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob
) -> None:
    reply, gate = waiting("One ", "two")
    models.replies = [reply]
    first = asyncio.create_task(run(turn, accounts))
    await until(lambda: len(models.requests) == 1)
    second = asyncio.create_task(run(turn, accounts))
    await until(lambda: librechat.counters["resumed"] == 1)
    gate.set()
    assert text_of(await first) == text_of(await second) == "One two"
    assert (librechat.counters["starts"], len(models.requests)) == (1, 1)


async def test_stopping_ends_the_generation_and_its_model_call(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob
) -> None:
    models.replies = [waiting("One ", "two")[0]]
    reading = asyncio.create_task(run(turn, accounts))
    await until(lambda: len(models.requests) == 1)
    await asyncio.sleep(0.05)
    await Generation(turn, accounts).abort()
    items = await reading
    assert (text_of(items), items[-1]) == ("One ", Finish("cancelled"))
    assert librechat.counters["aborts"] == 1
    await until(lambda: models.hangups == 1)


async def test_stopping_a_turn_leaves_the_one_that_replaced_it_alone(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob
) -> None:
    (old, old_gate), (new, gate) = waiting("Old ", "one"), waiting("New ", "one")
    models.replies = [old, new]
    first = asyncio.create_task(run(turn, accounts))
    await until(lambda: len(models.requests) == 1)
    other = replace(turn, turn_id=uuid4(), question=Question(id=uuid4(), text="another"))
    second = asyncio.create_task(run(other, accounts))
    await until(lambda: len(models.requests) == 2)
    await Generation(turn, accounts).abort()
    old_gate.set()
    gate.set()
    assert isinstance((await first)[-1], Failure)
    assert (text_of(await second), librechat.counters["aborts"]) == ("New one", 0)


async def test_stopping_an_ended_or_unknown_turn_does_nothing(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob
) -> None:
    await Generation(turn, accounts).abort()
    await run(turn, accounts)
    await Generation(turn, accounts).abort()
    assert not [call for call in librechat.requests if call.path.endswith("/abort")]


async def test_an_endpoint_that_is_not_configured_starts_nothing(
    accounts: Accounts, librechat: ReplayedLibreChat, turn: TurnJob
) -> None:
    librechat.endpoints = {}
    assert await run(turn, accounts) == [Failure("endpoint_models_not_loaded", never_began=True)]


async def test_another_accounts_conversation_starts_nothing(
    accounts: Accounts, librechat: ReplayedLibreChat, models: ScriptedEgress, turn: TurnJob, cast: Cast
) -> None:
    await run(turn, accounts)
    with pytest.raises(EngineFailed):
        await run(next_job(turn, engine_account_id=await account_of(cast.charlie), ancestors=()), accounts)
    assert len(models.requests) == 1


async def test_streams_that_repeatedly_end_early_are_given_up(turn: TurnJob, quick: None) -> None:
    async with ScriptedServer() as server:
        server.answers = [SIGNED_IN, STARTED, Answer()]
        with pytest.raises(EngineUnavailable):
            await run(turn, Accounts(LibreChatClient(f"http://127.0.0.1:{server.port}")))
        paths = [request.path for request in server.requests[2:]]
    resumed = [path.endswith("?resume=true") for path in paths]
    assert resumed == [False, *[True] * generation_module.MOST_BREAKS]


async def test_a_briefly_unavailable_librechat_is_retried(turn: TurnJob, quick: None) -> None:
    end = f'data: {{"final": true, "responseMessage": {{"messageId": "{turn.turn_id}"}}}}\n\n'
    async with ScriptedServer() as server:
        away, broken, whole = Answer(status=503), Answer(hangs_up=True), Answer([end.encode()])
        server.answers = [SIGNED_IN, away, STARTED, broken, whole]
        items = await run(turn, Accounts(LibreChatClient(f"http://127.0.0.1:{server.port}")))
    assert items == [Finish("stop")]
    (first, second) = [request.body for request in server.requests if request.path.endswith("/Routed")]
    assert first == second


async def called(cast: Cast) -> UUID:
    """A turn that has made a model call."""
    turn_id = await in_public(opened, cast)
    await in_public(held, turn_id)
    return turn_id
