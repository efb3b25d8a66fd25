"""Maps providers' finish reasons to OpenAI's four; an unknown reason is a failure."""

from gateway.errors import ProviderError

_NAMES = {
    "stop": """
        stop end_turn eos eos_token eos_found stop_sequence stop_token stop_str
        completed complete done end finished finish success normal
    """,
    "length": """
        length max_tokens max_output_tokens max_completion_tokens max_new_tokens max_length model_length
        pause_turn length_limit token_limit max_tokens_reached truncated context_length
        context_length_exceeded context_window_exceeded model_context_window_exceeded
    """,
    "tool_calls": "tool_calls tool_call tool_use tool function_call function_calls",
    "content_filter": """
        content_filter content_filtered content_filtering filtered filter safety sensitive recitation refusal
        refused blocklist blocked prohibited_content spii image_safety image_prohibited_content language
        guardrail_intervened guardrails moderation harmful error_toxic
    """,
}
_REASONS = {name: reason for reason, names in _NAMES.items() for name in names.split()}
NONE = {"", "null", "none", "finish_reason_unspecified", "unspecified"}


def finish_reason(reported: str, *, provider: str) -> str | None:
    """`stop`, `length`, `tool_calls` or `content_filter`; None if the word means nothing.

    ProviderError for every other word: the provider reports a failure, or a reason that we do not know.
    """
    word = reported.strip().lower().replace("-", "_").replace(" ", "_").rpartition(".")[2]
    word = word.removeprefix("finish_reason_").removeprefix("finishreason_")
    if word in NONE:
        return None
    if word in _REASONS:
        return _REASONS[word]
    raise ProviderError(
        f"The provider ended the reply early: {reported.strip()[:60]}.",
        provider=provider,
        provider_status=200,
    )
