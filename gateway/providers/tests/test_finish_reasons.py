"""Every provider's finish reason is understood, and an unknown one is never a success."""

import pytest

from gateway.errors import ProviderError
from gateway.providers.finish_reasons import finish_reason

REASONS = {
    "stop": [
        "stop",
        "STOP",
        "end_turn",
        "eos",
        "eos_token",
        "stop_sequence",
        "COMPLETE",
        " stop ",
    ],
    "length": [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "max_output_tokens",
        "model_length",
        "pause_turn",
        "token-limit",
        "FINISH_REASON_MAX_TOKENS",
        "model_context_window_exceeded",
    ],
    "tool_calls": ["tool_calls", "tool_call", "tool_use", "function_call", "Function Call"],
    "content_filter": [
        "content_filter",
        "content-filter",
        "SAFETY",
        "RECITATION",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "sensitive",
        "refusal",
        "guardrail_intervened",
    ],
}
CASES = [(word, reason) for reason, words in REASONS.items() for word in words]


@pytest.mark.parametrize(("word", "reason"), CASES)
def test_every_providers_word_is_one_of_four_reasons(word: str, reason: str) -> None:
    assert finish_reason(word, provider="openai") == reason


@pytest.mark.parametrize("word", ["", " ", "null", "None", "FINISH_REASON_UNSPECIFIED"])
def test_a_word_without_a_meaning_does_not_end_the_reply(word: str) -> None:
    assert finish_reason(word, provider="openai") is None


@pytest.mark.parametrize(
    "word",
    [
        "error",
        "MALFORMED_FUNCTION_CALL",
        "insufficient_system_resource",
        "abort",
        "cancelled",
        "OTHER",
        "stopp",
    ],
)
def test_any_other_word_is_a_failure_that_names_it(word: str) -> None:
    with pytest.raises(ProviderError, match=word) as failure:
        finish_reason(word, provider="openai")
    assert failure.value.details["provider_status"] == 200
    assert not failure.value.did_no_work


def test_a_long_word_is_shortened() -> None:
    with pytest.raises(ProviderError) as failure:
        finish_reason("x" * 5000, provider="openai")
    assert len(str(failure.value)) < 200
