"""LibreChat's losses are made good: parts of a stream, a whole stream, its history, or the egress."""

import json
import logging
import signal
import socket
import threading
import time
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx
import pytest
from websockets import Subprotocol
from websockets.sync.client import connect

from accounts.models import EngineAccount
from accounts.tests.cast import Cast
from gateway.engines.librechat import egress_watch
from gateway.models import Turn
from gateway.tests.conformance.egress_process import egress_process
from gateway.tests.conformance.engines import SECRET
from gateway.tests.conformance.test_conversations import begin, prompt_of
from gateway.tests.conformance.test_turns import finished, messages
from gateway.tests.events import StreamEvent, body, read_events, resume, send, text_of
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from gateway.turns.tests.test_crash import web_process
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, UsageRecord

pytestmark = [pytest.mark.conformance, pytest.mark.slow]
WORDS = [f"w{number} " for number in range(14)]
WHOLE = "".join(WORDS)
SAID = [
    ("user", "my name is Ada"),
    ("assistant", "Hello there."),
    ("user", "I like tea"),
    ("assistant", "Hello there."),
]


def shown(events: list[StreamEvent]) -> str:
    """The reply as a client finally shows it."""
    last = max((at for at, event in enumerate(events) if event.type == "replace"), default=-1)
    return text_of(events[last + 1 :])


@pytest.fixture
def torn(replayed: ReplayedLibreChat, provider: ScriptedProvider) -> ReplayedLibreChat:
    """A LibreChat whose streams lack their beginning, as on another replica."""
    replayed.is_torn, replayed.loses_beginnings = True, 9
    provider.script = Script(steps=list(WORDS))
    return replayed


def test_a_reply_without_its_beginning_is_replaced_by_the_whole_one(
    torn: ReplayedLibreChat, client_of: Any, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(cast.alice)
    caplog.set_level(logging.WARNING)
    events = read_events(client, "count")
    before, after = (text_of(part) for part in split(events))
    assert (before, after) == ("".join(WORDS[9:]), WHOLE)
    assert events[-1].data == {"finish_reason": "stop"}
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert messages(client, events[0].data["conversation_id"])[-1] == ("assistant", WHOLE)
    assert client.get(f"/v1/chat/turns/{events[0].data['turn_id']}").json()["reply"] == WHOLE
    assert "streamed another reply" in caplog.text


def split(events: list[StreamEvent]) -> tuple[list[StreamEvent], list[StreamEvent]]:
    at = [event.type for event in events].index("replace")
    return events[:at], events[at + 1 :]


def test_a_client_without_a_stream_gets_only_the_whole_reply(
    torn: ReplayedLibreChat, client_of: Any, cast: Cast
) -> None:
    assert send(client_of(cast.alice), "count").json()["reply"] == WHOLE


def test_resuming_a_replaced_reply_gives_the_same_in_any_process(
    torn: ReplayedLibreChat, client_of: Any, cast: Cast, settings: Any
) -> None:
    client = client_of(cast.alice)
    events = read_events(client, "count")
    turn_id, replaced = events[0].data["turn_id"], next(e.id for e in events if e.type == "replace")
    environment = {"ENGINE": "librechat", "LIBRECHAT_URL": settings.LIBRECHAT_URL, "EGRESS_SECRETS": SECRET}
    with (
        web_process(settings.LOCAL_MODEL_URL, **environment) as (_, url),
        httpx.Client(base_url=url, headers=cast.alice.headers, timeout=30) as elsewhere,
    ):
        for reader in (client, elsewhere):
            for after in (0, 3, replaced - 1):
                rest = resume(reader, turn_id, after)
                assert (shown(rest), "replace" in {event.type for event in rest}) == (WHOLE, True)
            rest = resume(reader, turn_id, replaced + 3)
            assert (text_of(rest), "replace" in {event.type for event in rest}) == (WHOLE[3:], False)


def test_a_socket_gets_the_replacement_too(torn: ReplayedLibreChat, server: Served, cast: Cast) -> None:
    url = f"{server.url.replace('http', 'ws')}/ws/chat"
    offered = [Subprotocol("bearer"), Subprotocol(cast.alice.token)]
    frames: list[dict[str, Any]] = []
    with connect(url, subprotocols=offered) as chat:
        chat.send(json.dumps({"type": "send", **body("count")}))
        while not frames or frames[-1]["type"] != "done":
            frames.append(json.loads(chat.recv(timeout=20)))
    received = [StreamEvent(frame.get("id", 0), frame["type"], frame) for frame in frames]
    assert (shown(received), [frame["type"] for frame in frames].count("replace")) == (WHOLE, 1)


def test_an_error_that_refers_to_the_saved_reply_is_replaced_by_it(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    replayed.loses_streams, replayed.store_delay = True, 0.5
    provider.script = Script(steps=list(WORDS))
    events = read_events(client_of(cast.alice), "count")
    assert (shown(events), events[-1].data) == (WHOLE, {"finish_reason": "stop"})


def test_an_emptied_librechat_continues_from_our_copy_with_one_notice(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    here = send(client, "my name is Ada").json()["conversation_id"]
    send(client, "I like tea", conversation_id=here)
    replayed.reset()
    events = read_events(client, "what is my name?", conversation_id=here)
    assert prompt_of(provider) == [*SAID, ("user", "what is my name?")]
    assert [event.data["kind"] for event in events if event.type == "notice"] == ["history_restored"]
    stored = resume(client, events[0].data["turn_id"])
    assert [event.data["kind"] for event in stored if event.type == "notice"] == ["history_restored"]
    again = read_events(client, "and what do I like?", conversation_id=here)
    assert prompt_of(provider)[: len(SAID)] == SAID
    assert len(prompt_of(provider)) == len(SAID) + 3
    assert "notice" not in {event.type for event in again}


def test_a_reply_that_librechat_lost_is_in_the_next_history(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    here = send(client, "my name is Ada").json()["conversation_id"]
    provider.scripts = [Script(steps=["Half ", threading.Event()])]
    turn_id = begin(client, "I like tea", conversation_id=here)["turn_id"]
    wait_until(lambda: client.get(f"/v1/chat/turns/{turn_id}").json()["reply"] == "Half ")
    replayed.lose_generation()
    finished(client, turn_id)
    events = read_events(client, "go on", conversation_id=here)
    expected = [*SAID[:3], ("assistant", "Half "), ("user", "go on")]
    assert prompt_of(provider) == expected
    assert "history_restored" in [event.data.get("kind") for event in events]


def test_a_history_that_librechat_trims_is_repaired_without_a_notice(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    """Its context window has the latest reply but not the question before it."""
    client = client_of(cast.alice)
    here = send(client, "one " * 900, max_tokens=10).json()["conversation_id"]
    provider.script = Script(steps=["word "] * 900)
    send(client, "two " * 900, conversation_id=here, max_tokens=900)
    provider.script = Script()
    events = read_events(client, "three " * 1000, conversation_id=here, max_tokens=1500)
    roles = [role for role, _ in prompt_of(provider)]
    assert roles[0] == "user"
    assert all(before != role for before, role in pairwise(roles))
    assert "notice" not in {event.type for event in events}


def test_an_unreachable_egress_is_noticed_before_the_turn_begins(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.EGRESS_URL = "http://127.0.0.1:9"
    begun = time.monotonic()
    answer = send(client_of(cast.alice), "hi")
    error = answer.json()["error"]
    assert time.monotonic() - begun < 25  # LibreChat's client would retry for 90
    assert (answer.status_code, error["code"], error["details"]["part"]) == (
        503,
        "engine_unavailable",
        "egress",
    )
    assert "egress is not responding" in error["message"]
    assert "127.0.0.1" not in answer.text
    assert replayed.counters["starts"] == 0
    assert (BudgetWindow.objects.get().used, BudgetWindow.objects.get().reserved) == (0, 0)


def test_an_egress_that_cannot_be_reached_from_this_host_is_not_checked(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.EGRESS_URL, settings.EGRESS_HEALTH_URL = "http://127.0.0.1:9", "none"
    assert send(client_of(cast.alice), "hi").json()["reply"] == "Hello there."


def test_an_egress_that_fails_while_librechat_is_silent_ends_the_turn(  # noqa: PLR0917 - fixtures
    replayed: ReplayedLibreChat,
    client_of: Any,
    cast: Cast,
    provider: ScriptedProvider,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in (("SILENT_SECONDS", 0.2), ("GONE_SECONDS", 0.5), ("KNOWN_SECONDS", 0.1)):
        monkeypatch.setattr(egress_watch, name, seconds)
    replayed.egress_url, replayed.retry_delay = "http://127.0.0.1:9", 60.0
    with Served(replayed_health) as health:
        settings.EGRESS_HEALTH_URL = health.url
        turn_id = begin(client_of(cast.alice), "hi")["turn_id"]
    turn = finished(client_of(cast.alice), turn_id)
    assert (turn["error"]["code"], turn["error"]["details"]["part"]) == ("engine_unavailable", "egress")
    assert replayed.counters["aborts"] == 1
    assert BudgetWindow.objects.get().reserved == 0


async def replayed_health(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The health response of an egress."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def test_shown_output_is_charged_after_the_egress_is_killed(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    text = "Thirty characters were shown. "
    provider.script = Script(steps=[text, threading.Event()])
    client, port = client_of(cast.alice), free_port()
    with egress_process(settings.LOCAL_MODEL_URL, port) as egress:
        replayed.egress_url = settings.EGRESS_URL = f"http://127.0.0.1:{port}"
        replayed.max_retries = 0
        turn_id = begin(client, "count")["turn_id"]
        wait_until(lambda: client.get(f"/v1/chat/turns/{turn_id}").json()["reply"] == text)
        egress.send_signal(signal.SIGKILL)
        egress.wait()
        turn = finished(client, turn_id)
    assert (turn["finish_reason"], turn["error"]["code"], turn["reply"]) == ("error", "engine_failed", text)
    line = UsageRecord.objects.get()
    assert (line.exactness, line.output_tokens >= len(text) / 4) == ("estimated", True)
    assert BudgetWindow.objects.get().reserved == 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_call_that_reached_no_provider_is_not_a_provider_failure(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    replayed.secret = "not the egress's"
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_failed")
    assert provider.requests == []


def test_a_message_that_is_too_long_for_librechat_is_context_too_long(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider, monkeypatch: Any
) -> None:
    """By LibreChat's own tokenizer: by ours it fits."""
    monkeypatch.setattr("gateway.tests.replayed_librechat.history.count", lambda message: 100_000)
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "context_too_long")
    assert provider.requests == []


def test_only_calls_about_a_conversation_are_pinned(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    here = send(client, "one").json()["conversation_id"]
    send(client, "two", conversation_id=here)
    messages(client, here)
    for call in replayed.requests:
        concerns = here in call.path or here in str(call.body)
        assert call.conversation == (here if concerns else ""), call.path


def test_a_restored_turn_is_marked_as_such(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    here = send(client, "one").json()["conversation_id"]
    replayed.reset()
    turn = send(client, "two", conversation_id=here, max_tokens=50).json()
    with tenant_scope(cast.alice.principal.tenant):
        parameters = Turn.objects.get(id=UUID(turn["turn_id"])).parameters
    assert parameters == {"max_tokens": 50, "history": "ours"}


def test_accounts_with_unreadable_passwords_can_be_deleted_and_created_again(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, settings: Any
) -> None:
    """The procedure of docs/backup.md for lost ENCRYPTION_KEYS."""
    client = client_of(cast.alice)
    earlier = send(client, "hi").json()
    settings.ENCRYPTION_KEYS = ["another key " * 4]
    EngineAccount.objects.all().delete()
    new = send(client, "hi again")
    assert (new.status_code, new.json()["finish_reason"]) == (200, "stop")
    stored = client.get(f"/v1/conversations/{earlier['conversation_id']}/messages").json()["data"]
    assert [message["content"] for message in stored] == ["hi", earlier["reply"]]
    assert send(client, "on", conversation_id=earlier["conversation_id"]).status_code != 500
