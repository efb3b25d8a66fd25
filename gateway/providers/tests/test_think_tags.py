"""Reasoning between tags at the beginning is separated from the text, however it is split."""

import pytest

from gateway.providers.base import ReasoningDelta, TextDelta
from gateway.providers.think_tags import MOST_HELD, ThinkTags


def split(*pieces: str) -> tuple[str, str]:
    """The reasoning and the text."""
    tags = ThinkTags()
    events = [*(event for piece in pieces if piece for event in tags.add(piece)), *tags.end()]
    assert all(event.text for event in events)
    kinds = (ReasoningDelta, TextDelta)
    reasoning, text = ("".join(e.text for e in events if isinstance(e, kind)) for kind in kinds)
    return reasoning, text


@pytest.mark.parametrize(
    ("whole", "reasoning", "text"),
    [
        ("", "", ""),
        ("Hi", "", "Hi"),
        ("<think>hm</think>Hi", "hm", "Hi"),
        ("<think>hm</think>\n\nHi\n", "hm", "Hi\n"),
        ("\n <think>\nhm\n</think>\n\nHi", "\nhm\n", "Hi"),
        ("<think></think>Hi", "", "Hi"),
        ("<think>hm", "hm", ""),  # it was cut off
        ("<think>a < b, a </ b, </thin", "a < b, a </ b, </thin", ""),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("Use <think>tags</think>.", "", "Use <think>tags</think>."),
        ("<thinking>x", "", "<thinking>x"),
        ("<thin", "", "<thin"),
        ("< think>x", "", "< think>x"),
        ("</think>x", "", "</think>x"),
        ("<<think>x", "", "<<think>x"),
        ("  \n ", "", "  \n "),
        (" <b>x", "", " <b>x"),
    ],
)
def test_any_split_gives_the_same_reasoning_and_text(whole: str, reasoning: str, text: str) -> None:
    assert split(*whole) == (reasoning, text)
    for at in range(len(whole) + 1):
        assert split(whole[:at], whole[at:]) == (reasoning, text)


def test_text_is_not_held_back_once_it_has_begun() -> None:
    tags = ThinkTags()
    assert list(tags.add("Hi")) == [TextDelta("Hi")]
    assert list(tags.add(" <")) == [TextDelta(" <")]


def test_only_so_much_white_space_is_held_back() -> None:
    tags = ThinkTags()
    passed_on = "".join(event.text for _ in range(100) for event in tags.add(" " * 100))
    assert len(passed_on) >= 10_000 - MOST_HELD
