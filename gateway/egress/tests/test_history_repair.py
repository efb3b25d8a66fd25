"""An engine's history is completed from our copy if it lost messages, but not if it only trimmed them."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.own_branch import Branch, Exchange
from gateway.egress.history_repair import completed, repaired
from gateway.engines.librechat.placeholders import (
    SEPARATOR,
    hide_placeholders,
    show_placeholders,
    with_placeholders,
)
from gateway.providers.base import ModelRequest

WINDOW = 1_000
SYSTEM = {"role": "system", "content": "Be brief."}
EARLIER = tuple(Exchange(f"question {n}", f"reply {n}") for n in (4, 3, 2, 1))  # the latest first
NOW = {"role": "user", "content": "and now?"}


def exchange(number: int) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"question {number}"},
        {"role": "assistant", "content": [{"type": "text", "text": f"reply {number}"}]},
    ]


def history(*numbers: int) -> list[dict[str, Any]]:
    return [message for number in numbers for message in exchange(number)]


def request(*messages: dict[str, Any]) -> ModelRequest:
    return ModelRequest(model="m", messages=[SYSTEM, *messages, NOW], max_tokens=100)


async def complete(
    sent: ModelRequest, *, most: int = 100, window: int = WINDOW, **more: Any
) -> list[str] | None:
    """The texts of the completed history, None if it was not; at most `most` messages fit."""

    async def fits(tried: ModelRequest) -> bool:
        return len(tried.messages) <= most

    branch = replace(Branch(question="and now?", earlier=EARLIER), **more)
    made = await completed(sent, branch, context_window=window, fits=fits)
    return None if made is None else [str(message["content"]) for message in made.messages]


ALL = [text for n in (1, 2, 3, 4) for text in (f"question {n}", f"reply {n}")]


@pytest.mark.parametrize(
    "sent",
    [
        (),  # everything: the database was emptied
        (1, 2, 3),  # the latest reply: the engine died while writing it
        (1, 2, 4),  # one in between
        (1, 4),
        (3, 4),  # the beginning, although it fits into the window
    ],
)
async def test_lost_messages_are_completed_from_our_copy(sent: tuple[int, ...]) -> None:
    assert await complete(request(*history(*sent))) == ["Be brief.", *ALL, "and now?"]


async def test_a_question_without_its_reply_counts_as_lost() -> None:
    assert await complete(request(*history(1, 2, 3), *exchange(4)[:1])) == ["Be brief.", *ALL, "and now?"]


@pytest.mark.parametrize("sent", [(3, 4), (4,), (2, 3, 4)])
async def test_messages_trimmed_from_a_full_window_stay_trimmed(sent: tuple[int, ...]) -> None:
    assert await complete(request(*history(*sent)), window=200) is None


async def test_trimming_inside_a_turn_is_not_a_loss() -> None:
    assert await complete(request(*exchange(3)[1:], *exchange(4)), window=200) is None


async def test_a_complete_history_with_tool_calls_is_not_changed() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    tools = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ]
    with_tools = [*exchange(3)[:1], *tools, *exchange(3)[1:]]
    flattened = [
        *exchange(3)[:1],
        {"role": "user", "content": "[Previous tool interaction] AI: …"},
        *exchange(3)[1:],
    ]
    for third in (with_tools, flattened):
        assert await complete(request(*history(1, 2), *third, *exchange(4))) is None


async def test_a_missing_failed_question_is_not_a_loss() -> None:
    failed = (Exchange("it failed"), *EARLIER)
    assert await complete(request(*history(1, 2, 3, 4)), earlier=failed) is None


async def test_white_space_is_ignored() -> None:
    sent = request({"role": "user", "content": " question  4\n"}, *exchange(4)[1:])
    assert await complete(sent, earlier=EARLIER[:1]) is None


async def test_only_the_latest_messages_that_fit_are_sent() -> None:
    assert await complete(request(), most=6) == ["Be brief.", *ALL[4:], "and now?"]
    assert await complete(request(), most=3) is None


async def test_after_a_loss_our_copy_is_used_even_with_a_full_window() -> None:
    assert await complete(request(*history(4)), window=200) is None
    made = await complete(request(*history(4)), window=200, is_ours=True)
    assert made == ["Be brief.", *ALL, "and now?"]


async def test_a_tool_loops_own_messages_are_not_replaced() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    loop = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ]
    sent = request()
    made = await complete(replace(sent, messages=[*sent.messages, *loop]))
    assert made == ["Be brief.", *ALL, "and now?", "", "42"]


async def test_without_the_turns_question_nothing_is_changed() -> None:
    assert await complete(request(), question="something else") is None


def roles(*messages: dict[str, Any], unanswered: set[str] | None = None) -> list[str]:
    return [message["role"] for message in repaired([SYSTEM, *messages, NOW], unanswered)]


def test_a_history_that_begins_with_a_reply_begins_with_the_next_question() -> None:
    assert roles(*exchange(1)[1:], *exchange(2)) == ["system", "user", "assistant", "user"]
    orphan = {"role": "tool", "tool_call_id": "c", "content": "42"}
    assert roles(orphan, *exchange(1)[1:]) == ["system", "user"]


def test_consecutive_questions_are_joined_and_a_failed_one_is_removed() -> None:
    failed = {"role": "user", "content": "it failed"}
    joined = repaired([SYSTEM, failed, NOW])
    assert joined == [SYSTEM, {"role": "user", "content": "it failed\n\nand now?"}]
    assert repaired([SYSTEM, failed, NOW], {"it failed"}) == [SYSTEM, NOW]


def test_joined_contents_keep_their_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    shown = {"role": "user", "content": [{"type": "text", "text": "look"}, image]}
    joined = repaired([shown, NOW])[0]["content"]
    assert joined == [{"type": "text", "text": "look"}, image, {"type": "text", "text": "and now?"}]


def test_only_complete_pairs_of_calls_and_results_remain() -> None:
    def call(*ids: str) -> dict[str, Any]:
        calls = [{"id": name, "type": "function", "function": {}} for name in ids]
        return {"role": "assistant", "content": "I call.", "tool_calls": calls}

    def answer(name: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": name, "content": "42"}

    question = {"role": "user", "content": "q"}
    whole = [question, call("a", "b"), answer("a"), answer("b")]
    assert repaired(whole) == whole
    (_, calling, _) = repaired([question, call("a", "b"), answer("a")])
    assert [one["id"] for one in calling["tool_calls"]] == ["a"]
    assert repaired([question, call("a"), NOW])[1] == {"role": "assistant", "content": "I call."}
    assert repaired([question, call("a"), answer("x"), answer("a")])[2:] == [answer("a")]
    assert repaired([question, call("a")]) == [question, call("a")]


ROLES = st.sampled_from(["user", "assistant", "tool"])


@given(st.lists(st.tuples(ROLES, st.sampled_from(["", "a", "b"])), max_size=12))
def test_in_any_history_roles_alternate_and_tools_are_paired(sent: list[tuple[str, str]]) -> None:
    messages: list[dict[str, Any]] = []
    for role, name in sent:
        message: dict[str, Any] = {"role": role, "content": f"text {name}"}
        if role == "assistant" and name:
            message["tool_calls"] = [{"id": name, "type": "function", "function": {}}]
        elif role == "tool":
            message["tool_call_id"] = name
        messages.append(message)
    made = repaired([*messages, NOW])
    assert made[0]["role"] == "user"
    assert made[-1]["content"].endswith("and now?")
    for before, message in pairwise(made):
        if message["role"] == "tool":
            assert before["role"] in {"assistant", "tool"}
        elif message["role"] == before["role"]:
            assert before.get("tool_calls")
    asked_for = [one["id"] for message in made for one in message.get("tool_calls", ())]
    answered = [message["tool_call_id"] for message in made if message["role"] == "tool"]
    assert set(asked_for) == set(answered)


@given(st.text(alphabet=["{", "}", SEPARATOR, "a", " "]))
def test_hidden_placeholders_are_restored_unchanged(text: str) -> None:
    hidden = hide_placeholders(text)
    assert "{{" not in hidden
    assert show_placeholders(hidden) == text


def test_placeholders_are_restored_only_in_instructions() -> None:
    hidden = hide_placeholders("{{current_date}}")
    shown = with_placeholders(
        [
            {"role": "system", "content": hidden},
            {"role": "system", "content": [{"type": "text", "text": hidden}]},
            {"role": "user", "content": hidden},
        ]
    )
    assert shown[0]["content"] == shown[1]["content"][0]["text"] == "{{current_date}}"
    assert shown[2]["content"] == hidden
