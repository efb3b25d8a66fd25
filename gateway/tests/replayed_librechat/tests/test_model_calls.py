"""How the egress's responses become frames: retries, refusals, breaks, reasoning, summaries."""

import pytest

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.recorded import kind
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient, content, data_of
from gateway.tests.replayed_librechat.tests.scripted_egress import (
    DIES,
    Reply,
    ScriptedEgress,
    text,
    usage,
)

FAILED = "An error occurred while processing the request: "


@pytest.mark.parametrize("status", [408, 422, 500, 503])
async def test_transient_failures_are_retried_silently(
    status: int, alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    egress.replies = [Reply(status=status, message="later")] * 7
    seen = await alice.turn("Hello")
    assert content(seen) == [{"type": "text", "text": "You said: Hello."}]
    assert [kind(frame) for frame in seen[:3]] == ["created", "on_context_usage", "on_run_step"]
    assert (len(egress.requests), librechat.counters["model_calls"]) == (8, 8)


async def test_retries_end_with_an_error_part(alice: EngineClient, egress: ScriptedEgress) -> None:
    egress.replies = [Reply(status=500, message="broken")] * 8
    assert content(await alice.turn("Hello")) == [{"type": "error", "error": FAILED + "500 broken"}]
    assert egress.replies == []


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 429])
async def test_a_refusal_ends_the_turn_immediately(
    status: int, alice: EngineClient, egress: ScriptedEgress
) -> None:
    egress.replies = [Reply(status=status, message="no")]
    (part,) = content(await alice.turn("Hello"))
    assert part["error"].startswith(f"{FAILED}{status} no")
    assert len(egress.requests) == 1


async def test_an_unreachable_egress_is_retried_as_often(
    alice: EngineClient, librechat: ReplayedLibreChat
) -> None:
    librechat.egress_url = "http://127.0.0.1:9"
    assert content(await alice.turn("Hello")) == [{"type": "error", "error": FAILED + "Connection error."}]
    assert librechat.counters["model_calls"] == 8


async def test_a_broken_stream_keeps_its_text(alice: EngineClient, egress: ScriptedEgress) -> None:
    egress.replies = [Reply([*text("one ", "two "), DIES])]
    assert content(await alice.turn("Hello")) == [
        {"type": "text", "text": "one two "},
        {"type": "error", "error": FAILED + "terminated"},
    ]
    assert len(egress.requests) == 1


async def test_an_error_within_the_stream_becomes_a_part(alice: EngineClient, egress: ScriptedEgress) -> None:
    line = 'data: {"error": {"message": "budget exhausted", "code": "quota_exceeded"}}'
    egress.replies = [Reply([*text("one "), ": ping", line])]
    assert content(await alice.turn("Hello")) == [
        {"type": "text", "text": "one "},
        {"type": "error", "error": FAILED + "budget exhausted"},
    ]


async def test_reasoning_has_its_own_step_and_part(alice: EngineClient, egress: ScriptedEgress) -> None:
    thoughts = [{"reasoning_content": "let me "}, {"reasoning_content": "see"}]
    egress.replies = [Reply([*thoughts, ": ping", *text("Yes.")])]
    seen = await alice.turn("Hello")
    assert [kind(frame) for frame in seen[2:-1]] == [
        "on_run_step",
        "on_reasoning_delta",
        "on_reasoning_delta",
        "on_run_step",
        "on_message_delta",
    ]
    first = data_of(seen, "on_reasoning_delta")[0]
    assert first["delta"]["content"] == [{"type": "think", "think": "let me "}]
    assert content(seen) == [{"type": "think", "think": "let me see"}, {"type": "text", "text": "Yes."}]


async def test_a_summary_is_a_separate_model_call_with_the_turns_headers(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    librechat.summarises = True
    egress.replies = [Reply([*text("in short"), usage(50, 5)]), Reply([*text("Yes."), usage(7, 2)])]
    seen = await alice.turn("Hello")
    assert [kind(frame) for frame in seen] == [
        "created",
        "on_summarize_start",
        "on_token_usage",
        "on_summarize_complete",
        "on_context_usage",
        "on_run_step",
        "on_message_delta",
        "on_token_usage",
        "final",
    ]
    assert [usage_event["total_tokens"] for usage_event in data_of(seen, "on_token_usage")] == [55, 9]
    assert content(seen) == [{"type": "text", "text": "Yes."}]
    summary, answer = egress.requests
    assert summary.headers["x-message"] == answer.headers["x-message"]
    assert summary.body["stream"] is True


async def test_a_failed_summary_does_not_end_the_turn(
    alice: EngineClient, egress: ScriptedEgress, librechat: ReplayedLibreChat
) -> None:
    librechat.summarises = True
    egress.replies = [Reply(status=402, message="no")]
    seen = await alice.turn("Hello")
    assert data_of(seen, "on_summarize_complete")[0]["error"] == "402 no"
    assert content(seen) == [{"type": "text", "text": "You said: Hello."}]
