"""A turn's life: followed, resumed, repeated, stopped, replaced, regenerated, stored."""

import asyncio
import threading

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.recorded import kind
from gateway.tests.replayed_librechat.tests.conftest import SignIn
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient, content, data_of, final, until
from gateway.tests.replayed_librechat.tests.scripted_egress import Reply, ScriptedEgress, text, usage


async def test_a_turns_ids_and_settings_are_sent_to_the_egress(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    body = alice.body("Hello", promptPrefix="Be brief.", temperature=0.3, max_tokens=77)
    await alice.http.post("/api/agents/chat/Routed", json=body)
    await alice.read()
    (call,) = egress.requests
    assert call.headers["authorization"] == "Bearer egress-secret"
    assert call.headers["x-engine-user"] == alice.user["id"]
    assert call.headers["x-conversation"] == alice.conversation
    assert call.headers["x-message"] == body["responseMessageId"]
    assert call.headers["x-parent"] == body["parentMessageId"]
    assert call.body == {
        "model": "routed",
        "user": alice.user["id"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "temperature": 0.3,
        "max_tokens": 77,
    }


async def test_a_returning_reader_gets_the_missed_state(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    gate = threading.Event()
    egress.replies = [Reply([*text("one ", "two "), gate, *text("three")])]
    await alice.start("count")
    assert kind((await alice.read(count=5))[-1]) == "on_message_delta"
    reading = asyncio.create_task(alice.read(resume=True))
    await until(lambda: librechat.counters["streams"] == 2)
    gate.set()
    seen = await reading
    assert [kind(frame) for frame in seen] == ["sync", "on_message_delta", "final"]
    assert seen[0][1]["resumeState"]["aggregatedContent"] == [{"type": "text", "text": "one two "}]
    assert seen[0][1]["pendingEvents"] == []
    assert content(seen) == [{"type": "text", "text": "one two three"}]


async def test_several_late_readers_see_the_whole_turn(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    gate = threading.Event()
    egress.replies = [Reply([*text("one ", "two "), gate, *text("three")])]
    await alice.start("count")
    early = asyncio.create_task(alice.read())
    await asyncio.sleep(0.1)
    late = asyncio.create_task(alice.read())
    await until(lambda: librechat.counters["streams"] == 2)
    gate.set()
    assert await early == await late
    assert len(egress.requests) == 1


async def test_a_stream_is_unknown_after_its_end(alice: EngineClient) -> None:
    await alice.turn("Hello")
    answer = await alice.http.get(f"/api/agents/chat/stream/{alice.conversation}?resume=true")
    assert (answer.status_code, answer.json()["error"]) == (404, "Stream not found")
    status = await alice.http.get(f"/api/agents/chat/status/{alice.conversation}")
    assert status.json() == {"active": False, "generationProtocolVersion": 1}


async def test_a_running_stream_is_unknown_to_another_account(
    alice: EngineClient, sign_in: SignIn, egress: ScriptedEgress
) -> None:
    bob = await sign_in("Bob")
    await alice.start("slow 20 100")
    assert (await bob.http.get(f"/api/agents/chat/stream/{alice.conversation}")).status_code == 404
    bob.conversation = alice.conversation
    assert (await bob.abort()).status_code == 403
    active = [(await who.http.get("/api/agents/chat/active")).json() for who in (alice, bob)]
    assert active == [{"activeJobIds": [alice.conversation]}, {"activeJobIds": []}]


async def test_a_repeated_start_makes_no_second_model_call(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    body = alice.body("Hello")
    first = await alice.http.post("/api/agents/chat/Routed", json=body)
    second = await alice.http.post("/api/agents/chat/Routed", json=body)
    assert second.json() == first.json() | {"status": "resumed"}
    await alice.read()
    assert len(egress.requests) == 1
    assert librechat.counters["resumed"] == 1


async def test_an_abort_ends_the_stream_and_closes_the_model_call(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    gate = threading.Event()
    egress.replies = [Reply([*text("one ", "two "), gate])]
    started = await alice.start("count")
    await alice.read(count=5)
    reading = asyncio.create_task(alice.read(resume=True))
    await until(lambda: librechat.counters["streams"] == 2)
    answer = await alice.abort(generationCreatedAt=started["generationCreatedAt"])
    assert answer.json() == {
        "success": True,
        "aborted": alice.conversation,
        "generationProtocolVersion": 1,
    }
    data = final(await reading)
    assert (data["aborted"], data["responseMessage"]["unfinished"]) == (True, True)
    assert data["responseMessage"]["content"] == [{"type": "text", "text": "one two "}]
    await until(lambda: egress.hangups == 1 and librechat.counters["stored"] == 1)
    reply = (await alice.messages())[1]
    assert (reply["unfinished"], reply["text"]) == (True, "one two ")


async def test_an_abort_of_an_earlier_turn_does_not_affect_the_running_one(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    first = await alice.start("slow 2 10")
    alice.parent = final(await alice.read())["responseMessage"]["messageId"]
    gone = await alice.abort()
    assert (gone.status_code, gone.json()["error"]) == (404, "Job not found")
    await alice.start("slow 5 100")
    stale = await alice.abort(generationCreatedAt=first["generationCreatedAt"])
    assert (stale.status_code, stale.json()["code"]) == (409, "RUN_REPLACED")
    assert "aborted" not in final(await alice.read())


async def test_a_second_start_replaces_the_first_whose_model_call_continues(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    gate = threading.Event()
    egress.replies = [Reply([*text("one "), gate, *text("two")]), Reply(text("other"))]
    await alice.start("count")
    first = asyncio.create_task(alice.read())
    await until(lambda: len(egress.requests) == 1)
    await alice.start("instead")
    assert kind((await first)[-1]) == "error"
    assert "Generation state changed" in (await first)[-1][1]["error"]
    assert content(await alice.read()) == [{"type": "text", "text": "other"}]
    gate.set()
    await asyncio.sleep(0.1)
    assert egress.hangups == 0
    said = [message.get("content") or message["text"] for message in await alice.messages()]
    assert said == ["count", "instead", [{"type": "text", "text": "other"}]]
    assert librechat.counters["replaced"] == 1


async def test_a_regenerated_reply_is_a_sibling_of_the_first(
    alice: EngineClient, egress: ScriptedEgress
) -> None:
    first = final(await alice.turn("again"))
    await asyncio.sleep(0.05)
    said = first["requestMessage"]
    again = {"isRegenerate": True, "overrideParentMessageId": said["messageId"]}
    second = final(await alice.turn("again", parentMessageId=said["parentMessageId"], **again))
    await asyncio.sleep(0.05)
    assert second["requestMessage"] == said
    replies = [message for message in await alice.messages() if not message["isCreatedByUser"]]
    assert [reply["parentMessageId"] for reply in replies] == [said["messageId"]] * 2
    assert egress.requests[0].body["messages"] == egress.requests[1].body["messages"]


async def test_a_reply_is_stored_only_some_time_after_the_end(
    alice: EngineClient, librechat: ReplayedLibreChat, egress: ScriptedEgress
) -> None:
    librechat.store_delay = 0.2
    first = final(await alice.turn("one"))["responseMessage"]
    assert len(await alice.messages()) == 1
    await alice.turn("too early")
    assert [said["role"] for said in egress.requests[1].body["messages"]] == ["user"]
    await asyncio.sleep(0.3)
    assert len(await alice.messages()) == 4
    await alice.turn("in time", parentMessageId=first["messageId"])
    assert [said["role"] for said in egress.requests[2].body["messages"]] == ["user", "assistant", "user"]


async def test_usage_is_sent_once_per_model_call_and_only_if_configured(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    egress.replies = [Reply([*text("a"), usage(7, 2)]), Reply([*text("b"), usage(7, 2)])]
    (usage_event,) = data_of(await alice.turn("one"), "on_token_usage")
    assert (usage_event["input_tokens"], usage_event["output_tokens"], usage_event["total_tokens"]) == (
        7,
        2,
        9,
    )
    librechat.stream_usage = False
    assert data_of(await alice.turn("two"), "on_token_usage") == []
    assert "stream_options" not in egress.requests[1].body
