"""A provider's count of tokens, under the names that OpenAI, Anthropic, Google, Ollama and others use."""

from typing import Any

from gateway.providers.base import JsonObject, UsageReport
from gateway.providers.garbled import NO_COUNT, a_count, an_object, reported_count

INPUT = (
    "prompt_tokens input_tokens promptTokens inputTokens promptTokenCount prompt_token_count "
    "prompt_eval_count"
)
OUTPUT = (
    "completion_tokens output_tokens completionTokens outputTokens candidatesTokenCount "
    "candidates_token_count generated_tokens eval_count"
)
TOTAL = "total_tokens totalTokens totalTokenCount total_token_count"
CACHED = (
    "cached_tokens prompt_cache_hit_tokens cache_read_input_tokens cachedContentTokenCount "
    "cached_content_token_count cachedTokens"
)
REASONING = "reasoning_tokens thinking_tokens thoughtsTokenCount thoughts_token_count reasoningTokens"
INPUT_DETAILS = "prompt_tokens_details input_tokens_details input_token_details promptTokensDetails"
OUTPUT_DETAILS = (
    "completion_tokens_details output_tokens_details output_token_details completionTokensDetails"
)
SEPARATE_INPUT = ("cache_read_input_tokens", "cache_creation_input_tokens")  # Anthropic's


def usage_of(usage: JsonObject) -> UsageReport | None:
    """None if a count is missing, which is not 0; negative if it is not a count.

    A missing count is the total minus the other one, if the total is known.
    """
    read, written, total = (_first(usage, names) for names in (INPUT, OUTPUT, TOTAL))
    if read is None and written is not None and total is not None:
        read = total - written if total >= written >= 0 else NO_COUNT
    if written is None and read is not None and total is not None:
        written = total - read if total >= read >= 0 else NO_COUNT
    if read is None or written is None:
        return None
    cached = _detail(usage, CACHED, INPUT_DETAILS)
    reasoning = _detail(usage, REASONING, OUTPUT_DETAILS)
    created = a_count(reported_count(usage.get("cache_creation_input_tokens")))
    if "input_tokens" in usage and read >= 0 and _is_separate(usage, read, total):
        read += sum(a_count(reported_count(usage.get(name))) for name in SEPARATE_INPUT)
    if reasoning and total == read + written + reasoning:
        written += reasoning  # xAI and Google count reasoning separately from the completion
    return UsageReport(
        read, written, min(cached, max(read, 0)), min(reasoning, max(written, 0)), min(created, max(read, 0))
    )


def merged(before: UsageReport | None, report: UsageReport) -> UsageReport:
    """The later of two reports, except for zeros: some proxies append a report that counts nothing."""
    if before is None:
        return report
    if (report.input_tokens, report.output_tokens) == (0, 0):
        return before
    return UsageReport(
        report.input_tokens or before.input_tokens,
        report.output_tokens or before.output_tokens,
        report.cached_tokens or before.cached_tokens,
        report.reasoning_tokens or before.reasoning_tokens,
        report.cache_written_tokens or before.cache_written_tokens,
    )


def _is_separate(usage: JsonObject, read: int, total: int | None) -> bool:
    """Whether cached tokens are counted separately from the input, as Anthropic does."""
    written = _first(usage, OUTPUT)
    return not any(name in usage for name in INPUT_DETAILS.split()) and (
        total is None or written is None or total != read + written
    )


def _first(usage: JsonObject, names: str) -> int | None:
    found = (reported_count(usage.get(name)) for name in names.split())
    return next((count for count in found if count is not None), None)


def _detail(usage: JsonObject, names: str, places: str) -> int:
    objects: list[Any] = [an_object(usage.get(place)) for place in places.split()]
    return next((count for item in (*objects, usage) if (count := a_count(_first(item, names)))), 0)
