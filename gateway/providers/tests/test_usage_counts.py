"""Counts of tokens are read under every name that providers use, and an invalid one is never a valid one."""

from typing import Any

import pytest

from gateway.providers.base import UsageReport
from gateway.providers.garbled import NO_COUNT
from gateway.providers.usage_counts import merged, usage_of


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": 3},
        {"completion_tokens": 3},
        {"total_tokens": 3},
        {"prompt_tokens": None, "completion_tokens": 1},
        {"cost": 0.1},
    ],
)
def test_a_missing_count_is_not_0(usage: dict[str, Any]) -> None:
    assert usage_of(usage) is None


@pytest.mark.parametrize(
    "count", [True, False, -3, 0.5, "", "x", "-3", "1.5", "²", "9" * 20, {}, [7], float("nan"), float("inf")]
)
def test_an_invalid_count_is_negative(count: object) -> None:
    """So it can be flagged, unlike a missing count."""
    assert usage_of({"prompt_tokens": count, "completion_tokens": 5}) == UsageReport(NO_COUNT, 5)
    assert usage_of({"prompt_tokens": 5, "completion_tokens": count}) == UsageReport(5, NO_COUNT)
    assert usage_of({"prompt_tokens": count, "completion_tokens": 5, "total_tokens": 9}) == UsageReport(
        NO_COUNT, 5
    )


@pytest.mark.parametrize("count", [7, 7.0, "7", "007"])
def test_a_count_may_be_written_as_a_whole_number_in_other_forms(count: object) -> None:
    assert usage_of({"prompt_tokens": count, "completion_tokens": 5}) == UsageReport(7, 5)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10, "completion_tokens": 9},
        {"input_tokens": 10, "output_tokens": 9},  # OpenAI's Responses, Anthropic
        {"promptTokens": 10, "completionTokens": 9},
        {"inputTokens": 10, "outputTokens": 9},  # Bedrock
        {"promptTokenCount": 10, "candidatesTokenCount": 9, "totalTokenCount": 19},  # Google
        {"prompt_token_count": 10, "candidates_token_count": 9},
        {"prompt_eval_count": 10, "eval_count": 9},  # Ollama
        {"prompt_tokens": 10, "generated_tokens": 9},  # TGI
        {"prompt_tokens": None, "input_tokens": 10, "completion_tokens": None, "output_tokens": 9},
        {"prompt_tokens": 10, "total_tokens": 19},  # the total minus the other
        {"completion_tokens": 9, "total_tokens": 19},
        {"inputTokens": 10, "totalTokens": 19},
        {"promptTokenCount": "10", "totalTokenCount": 19.0},
    ],
)
def test_every_providers_names_are_known(usage: dict[str, Any]) -> None:
    assert usage_of(usage) == UsageReport(10, 9)


def test_a_total_below_its_part_is_no_count() -> None:
    assert usage_of({"prompt_tokens": 10, "total_tokens": 3}) == UsageReport(10, NO_COUNT)
    assert usage_of({"completion_tokens": 10, "total_tokens": 3}) == UsageReport(NO_COUNT, 10)


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({}, 0),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 4}}, 4),
        ({"prompt_tokens_details": {"cached_tokens": 4.0}}, 4),
        ({"prompt_tokens_details": {"cached_tokens": "4"}}, 4),
        ({"prompt_tokens_details": {"cached_tokens": -4}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 99}}, 10),  # never more than the input
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 4}, 4),
        ({"input_tokens_details": {"cached_tokens": 4}}, 4),
        ({"promptTokensDetails": {"cachedTokens": 4}}, 4),
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}, 4),  # DeepSeek
        ({"cached_tokens": 4}, 4),  # Moonshot
        ({"cachedContentTokenCount": 4}, 4),  # Google
        ({"cache_read_input_tokens": 4}, 4),
        ({"prompt_tokens_details": [4]}, 0),
    ],
)
def test_tokens_read_from_a_cache_are_part_of_the_input(details: dict[str, Any], cached: int) -> None:
    assert usage_of({"prompt_tokens": 10, "completion_tokens": 9, **details}) == UsageReport(10, 9, cached)


@pytest.mark.parametrize(
    ("usage", "report"),
    [
        (
            {"input_tokens": 10, "output_tokens": 9, "cache_read_input_tokens": 1000},
            UsageReport(1010, 9, 1000),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 9,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 50,
            },
            UsageReport(1060, 9, 1000, 0, 50),
        ),
        # A total, or details as OpenAI has them, says that they are included.
        (
            {"input_tokens": 10, "output_tokens": 9, "cache_read_input_tokens": 4, "total_tokens": 19},
            UsageReport(10, 9, 4),
        ),
        (
            {"input_tokens": 10, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 4}},
            UsageReport(10, 9, 4),
        ),
    ],
)
def test_anthropics_cached_tokens_are_added_to_the_input(usage: dict[str, Any], report: UsageReport) -> None:
    assert usage_of(usage) == report


@pytest.mark.parametrize(
    ("details", "report"),
    [
        ({"completion_tokens_details": {"reasoning_tokens": 5}}, UsageReport(10, 9, 0, 5)),
        (
            {"completion_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 19},
            UsageReport(10, 9, 0, 5),
        ),
        ({"completion_tokens_details": {"reasoning_tokens": 99}}, UsageReport(10, 9, 0, 9)),
        ({"output_tokens_details": {"reasoning_tokens": 5}}, UsageReport(10, 9, 0, 5)),
        ({"output_tokens_details": {"thinking_tokens": 5}}, UsageReport(10, 9, 0, 5)),
        ({"reasoning_tokens": 5}, UsageReport(10, 9, 0, 5)),
        # xAI and Google count reasoning separately from the completion.
        (
            {"completion_tokens_details": {"reasoning_tokens": 94}, "total_tokens": 113},
            UsageReport(10, 103, 0, 94),
        ),
        ({"thoughtsTokenCount": 5, "totalTokenCount": 24}, UsageReport(10, 14, 0, 5)),
    ],
)
def test_reasoning_is_part_of_the_output(details: dict[str, Any], report: UsageReport) -> None:
    assert usage_of({"prompt_tokens": 10, "completion_tokens": 9, **details}) == report


@pytest.mark.parametrize(
    ("reports", "last"),
    [
        ([UsageReport(5, 1), UsageReport(5, 2)], UsageReport(5, 2)),
        ([UsageReport(5, 2, 1, 1, 1), UsageReport(0, 0)], UsageReport(5, 2, 1, 1, 1)),
        ([UsageReport(5, 0), UsageReport(0, 9)], UsageReport(5, 9)),
        ([UsageReport(5, 2, 3), UsageReport(5, 4)], UsageReport(5, 4, 3)),
        ([UsageReport(0, 0), UsageReport(5, 2)], UsageReport(5, 2)),
        ([UsageReport(0, 0)], UsageReport(0, 0)),
    ],
)
def test_the_last_report_applies_except_for_its_zeros(reports: list[UsageReport], last: UsageReport) -> None:
    total = None
    for report in reports:
        total = merged(total, report)
    assert total == last
