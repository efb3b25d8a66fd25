"""A turn's parent at LibreChat and the request that starts it, compared with the recordings."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.engines.base import Question, TurnJob
from gateway.engines.librechat.branches import START, chat_body, choose_parent, message_ids, texts_of
from gateway.engines.librechat.tests.jobs import REQUEST, job
from gateway.tests.replayed_librechat.recorded import exchanges

OUR_OWN = {"max_tokens": 96, "maxContextTokens": 4000}
STARTS = [
    pytest.param(exchange["request"]["body"], id=f"{name}-{index}")
    for name in ("chat_our_turn_ids", "chat_regenerate", "chat_second_turn_replaces")
    for index, exchange in enumerate(exchanges(name))
    if exchange["request"]["path"] == "/api/agents/chat/Routed"
]


@pytest.mark.parametrize("recorded", STARTS)
def test_a_turn_is_started_as_it_was_recorded(recorded: dict[str, Any]) -> None:
    """Of our own are the bounds, and one id that serves the reply and the request."""
    again = recorded.get("isRegenerate", False)
    question_id = recorded.get("overrideParentMessageId") or recorded["overrideUserMessageId"].removesuffix(
        "__0"
    )
    turn = job(
        turn_id=UUID(recorded["responseMessageId"]),
        conversation_id=UUID(recorded["conversationId"]),
        question=Question(id=UUID(question_id), text=recorded["text"], is_asked_again=again),
    )
    body = body_of(turn, UUID(recorded["parentMessageId"]), knows_question=again)
    request_id = {"clientRequestId": recorded["responseMessageId"]}
    assert body == recorded | OUR_OWN | request_id | {"isTemporary": False}


def test_a_question_that_librechat_lost_is_sent_as_a_new_one() -> None:
    turn = job(question=Question(id=uuid4(), text="hi", is_asked_again=True))
    body = body_of(turn, START)
    assert body["overrideUserMessageId"] == f"{turn.question and turn.question.id}__0"
    assert not {"isRegenerate", "overrideParentMessageId"} & body.keys()


def test_the_temperature_is_sent_where_there_is_one() -> None:
    assert "temperature" not in body_of(job(), START)
    assert body_of(job(request=replace(REQUEST, temperature=0.0)), START)["temperature"] == 0.0


def test_instructions_arrive_as_the_system_message() -> None:
    received = {"role": "system", "content": "Reply in German."}
    assert "promptPrefix" not in body_of(job(), START)
    body = body_of(job(request=replace(REQUEST, messages=[received, *REQUEST.messages])), START)
    assert body["promptPrefix"] == "Reply in German."


def test_a_reply_as_long_as_the_window_leaves_a_prompt_of_one_token() -> None:
    body = body_of(job(request=replace(REQUEST, max_tokens=10_000)), START)
    assert (body["max_tokens"], body["maxContextTokens"]) == (10_000, 1)


def test_the_latest_reply_that_librechat_has_is_the_parent() -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    assert choose_parent((third, second, first), {first, second, third}) == third
    assert choose_parent((third, second, first), {first, second}) == second
    assert choose_parent((third,), {first}) == START
    assert choose_parent((), {first}) == START
    assert str(START) == exchanges("chat_our_turn_ids")[0]["request"]["body"]["parentMessageId"]


def test_recorded_messages_are_read_by_their_ids() -> None:
    rows = exchanges("chat_our_turn_ids")[-2]["response"]["body"]
    said = ["Hello with our own ids", "and again"]
    texts = [said[0], f"You said: {said[0]}.", said[1], f"You said: {said[1]}."]
    assert texts_of(rows) == {UUID(row["messageId"]): text for row, text in zip(rows, texts, strict=True)}
    assert message_ids(rows) == texts_of(rows).keys()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mcp_with_usage", "The tool answered: 42.0"),
        ("chat_upstream_429", ""),
        ("chat_upstream_dies", "w0 w1 w2 w3 w4 "),
        ("chat_abort", "".join(f"w{number} " for number in range(16))),
    ],
)
def test_only_the_text_of_a_recorded_reply_is_read(name: str, text: str) -> None:
    *_, reply = exchanges(name)[-1]["response"]["body"]
    assert texts_of([reply]) == {UUID(reply["messageId"]): text}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "a\0b\ud83d"}, "a\ufffdb\ufffd"),
        ({"text": None}, ""),
        ({"text": "kept", "content": []}, "kept"),
        ({"content": [{"type": "text", "text": {"value": "a\0"}}, {"type": "text", "text": 1}]}, "a\ufffd"),
        ({"content": ["x", {"type": []}], "text": "kept"}, ""),
        ({"content": [{"type": "think", "think": "Hm"}, {"type": "text", "text": "Yes"}]}, "Yes"),
        ({"content": {"type": "text"}, "text": "kept"}, "kept"),
    ],
)
def test_invalid_parts_of_a_row_are_skipped(row: dict[str, Any], text: str) -> None:
    assert texts_of([{"messageId": str(START), **row}]) == {START: text}


@pytest.mark.parametrize("wrong", [None, 1, [], "not a uuid", ""])
def test_rows_without_an_id_of_ours_are_left_out(wrong: Any) -> None:
    assert texts_of([{"messageId": wrong, "text": "hi"}, {"text": "hi"}]) == {}


def body_of(turn: TurnJob, parent: UUID, *, knows_question: bool = False) -> dict[str, Any]:
    assert turn.question is not None
    return chat_body(turn, turn.question, parent, knows_question=knows_question)
