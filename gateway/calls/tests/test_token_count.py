"""A plausible count of the provider is charged; else no less than the prompt and the streamed output."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.bounds import Bounds
from gateway.calls.token_count import PLAUSIBLE_EXCESS, Streamed, final_usage, partial_usage
from gateway.providers.base import UsageReport
from gateway.providers.garbled import NO_COUNT

BOUNDS = Bounds(prompt=1000, output=50, least=3)


def streamed(*texts: str) -> Streamed:
    seen = Streamed()
    for text in texts:
        seen.add_text(text)
    return seen


REPLY = streamed(*["word " * 10] * 4)  # 200 bytes in 4 pieces: 50 tokens, and at least 2


def charged(*report: int) -> tuple[int, int, str, str]:
    usage = final_usage(UsageReport(*report), BOUNDS, REPLY, None)
    return usage.input_tokens, usage.output_tokens, str(usage.exactness), str(usage.flag)


@pytest.mark.parametrize(
    "report",
    [
        (240, 40),
        (3, 2),
        (1000, 50),
        (
            1000 + PLAUSIBLE_EXCESS,
            50 + PLAUSIBLE_EXCESS,
        ),  # its own instructions, and reasoning beyond the bound
    ],
)
def test_a_plausible_count_is_charged(report: tuple[int, int]) -> None:
    assert charged(*report) == (*report, "exact", "")


@pytest.mark.parametrize(
    ("report", "charge"),
    [
        ((0, 40), (1000, 40)),
        ((2, 40), (1000, 40)),
        ((NO_COUNT, 40), (1000, 40)),
        ((1001 + PLAUSIBLE_EXCESS, 40), (1000, 40)),
        ((10**40, 40), (1000, 40)),
        ((240, 1), (240, 50)),
        ((240, 0), (240, 50)),
        ((240, NO_COUNT), (240, 50)),
        ((240, 10**40), (240, 50)),
        ((0, 0), (1000, 50)),
        ((10**40, 10**40), (1000, 50)),
    ],
)
def test_an_implausible_count_is_replaced_by_our_own(
    report: tuple[int, int], charge: tuple[int, int]
) -> None:
    assert charged(*report) == (*charge, "estimated", "implausible")


def test_without_a_count_the_bound_and_the_streamed_output_are_charged() -> None:
    usage = final_usage(None, BOUNDS, REPLY, None)
    assert (usage.input_tokens, usage.output_tokens, usage.exactness) == (1000, 50, "unreported")


@pytest.mark.parametrize(("estimate", "charge"), [(300, 300), (1000, 1000), (1001, 1000), (None, 1000)])
@pytest.mark.parametrize(
    "report", [None, UsageReport(0, 40), UsageReport(10**9, 40), UsageReport(NO_COUNT, NO_COUNT)]
)
def test_an_unknown_prompt_is_charged_its_estimate_and_never_more_than_its_bound(
    report: UsageReport | None, estimate: int | None, charge: int
) -> None:
    bounds = replace(BOUNDS, estimate=estimate)
    assert final_usage(report, bounds, REPLY, None).input_tokens == charge
    assert partial_usage(report, bounds, REPLY, None).input_tokens == charge


def test_a_count_that_came_early_replaces_the_estimate() -> None:
    bounds = replace(BOUNDS, estimate=300)
    assert partial_usage(UsageReport(240, 1), bounds, REPLY, None).input_tokens == 240
    assert partial_usage(UsageReport(900, 1), bounds, REPLY, None).input_tokens == 900


def test_a_reply_far_larger_than_its_count_is_counted_by_its_bytes() -> None:
    usage = final_usage(UsageReport(240, 19), BOUNDS, streamed(*["word " * 800] * 19), None)
    assert (usage.output_tokens, usage.flag) == (19_000, "implausible")


def test_a_tokenizers_count_takes_precedence_over_bytes() -> None:
    usage = final_usage(UsageReport(240, 1), BOUNDS, REPLY, 40)
    assert (usage.output_tokens, usage.flag) == (40, "implausible")


def test_reasoning_and_cached_tokens_stay_within_the_charge() -> None:
    usage = final_usage(UsageReport(0, 40, 0, 30), BOUNDS, REPLY, None)
    assert (usage.input_tokens, usage.cached_tokens, usage.reasoning_tokens) == (1000, 0, 30)
    usage = final_usage(UsageReport(240, 1, 200, 1), BOUNDS, REPLY, None)
    assert (usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) == (50, 200, 0)


@pytest.mark.parametrize(
    ("report", "charge"),
    [
        (None, (1000, 50, "")),
        (UsageReport(240, 1), (240, 50, "")),  # Claude's first event
        (UsageReport(240, 77), (240, 77, "")),  # an early count that includes hidden output
        (UsageReport(0, 1), (1000, 50, "implausible")),
        (UsageReport(240, 10**9), (240, 50, "")),
    ],
)
def test_a_reply_that_ended_early_is_charged_by_the_known_counts(
    report: UsageReport | None, charge: tuple[int, int, str]
) -> None:
    usage = partial_usage(report, BOUNDS, REPLY, None)
    assert (usage.input_tokens, usage.output_tokens, str(usage.flag)) == charge
    assert usage.exactness == "estimated"


@given(st.lists(st.text(min_size=1)))
def test_a_reply_has_at_least_a_token_per_piece_and_per_four_bytes(texts: list[str]) -> None:
    seen = streamed(*texts)
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    assert seen.bytes == size
    assert seen.tokens >= max(len(texts), -(-size // 4))


def test_a_huge_piece_is_extrapolated_from_its_beginning() -> None:
    word = "nonsense qwzx "
    many = streamed(*[word * 1000] * 100).tokens
    assert many <= streamed(word * 100_000).tokens <= 1.01 * many


def test_tool_calls_count_by_name_arguments_and_number() -> None:
    seen = Streamed()
    seen.add_calls([{"index": 0, "function": {"name": "add", "arguments": "word " * 80}}])
    assert seen.tokens == 103
    seen.add_calls([{"index": at, "function": {}} for at in range(100)])
    assert seen.tokens == 303


def test_the_input_of_a_custom_tool_is_counted_like_a_functions_arguments() -> None:
    function, custom = Streamed(), Streamed()
    function.add_calls([{"index": 0, "function": {"name": "patch", "arguments": "*** Begin " * 50}}])
    custom.add_calls([{"index": 0, "custom": {"name": "patch", "input": "*** Begin " * 50}}])
    assert function == custom
    assert custom.bytes == len("patch") + 500


def test_data_sent_with_the_text_has_bytes_but_no_tokens() -> None:
    seen = streamed("Look.")
    before = seen.tokens
    seen.add_extra(2_000_000)
    assert (seen.tokens, seen.bytes, seen.extra_bytes) == (before, 5, 2_000_000)
