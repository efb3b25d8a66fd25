"""A refusal has the provider's own words, without keys, and its `Retry-After` in either of its forms."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.refusals import (
    LONGEST_MESSAGE,
    REMOVED,
    redacted,
    refusal,
    retry_after_seconds,
    words_of,
)
from kit.tests.cpu_time import cpu_at_most

NOW = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=NOW) == seconds


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "rejected the API key"),
        (403, b"", "rejected the API key"),
        (404, b"", "does not know this model"),
        (402, b"", "no credit left"),
        (429, b"", "overloaded"),
        (429, b"insufficient_quota", "no credit left"),
        (503, b"", "overloaded"),
        (529, b"", "overloaded"),
        (400, b"", "refused the request"),
        (400, b"context_length_exceeded", "prompt is too long"),
        (400, b'{"error": {"message": "The context window is 9 tokens."}}', "prompt is too long"),
        (400, b'{"error": {"message": "The context window is 9 tokens."}}', "window is 9 tokens"),
        (302, b"", "failed"),
        (408, b"", "failed"),
        (400, b'{"error": {"message": "n is too large"}}', "It says: n is too large"),
        (
            401,
            b'{"error": {"message": "Incorrect API key provided: sk-abcdefgh1234."}}',
            f"provided: {REMOVED}.",
        ),
        (404, b'{"detail": "no such deployment"}', "It says: no such deployment"),
    ],
)
def test_the_text_says_what_kind_of_refusal_it_is_and_why(status: int, body: bytes, words: str) -> None:
    assert words in str(refusal(provider="openai", status=status, body=body))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            {
                "error": {
                    "message": "Too large.",
                    "type": "invalid_request_error",
                    "param": "n",
                    "code": "big",
                }
            },
            ("Too large.", "big", "n"),
        ),
        ({"error": {"message": "Too large.", "type": "x", "code": None}}, ("Too large.", "x", "")),
        ({"error": {"message": "Too large.", "code": 400}}, ("Too large.", "", "")),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: big"}},
            ("max_tokens: big", "invalid_request_error", ""),
        ),
        ({"error": "Too large."}, ("Too large.", "", "")),
        ({"error": "Bad Request", "message": "Too large."}, ("Too large.", "", "")),
        (
            {"object": "error", "message": "Too large.", "type": "BadRequestError"},
            ("Too large.", "BadRequestError", ""),
        ),
        ({"message": "Too large."}, ("Too large.", "", "")),
        ({"msg": "Too large."}, ("Too large.", "", "")),
        ({"error_msg": "Too large.", "error_code": 336}, ("Too large.", "", "")),
        ({"detail": "Too large."}, ("Too large.", "", "")),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "Too large.", "type": "value_error"}]},
            ("body.n: Too large.", "", "n"),
        ),
        ({"errors": [{"message": "Too large."}]}, ("Too large.", "", "")),
        (
            {"type": "https://a/too-large", "title": "Too large.", "status": 400},  # RFC 9457
            ("Too large.", "https://a/too-large", ""),
        ),
        ("Too large.", ("Too large.", "", "")),
        ({}, ("", "", "")),
        ([], ("", "", "")),
        (None, ("", "", "")),
        ({"error": {"message": {"nested": 1}, "param": 7}}, ("", "", "")),
        ({"detail": [{"loc": [], "msg": 7}, "x"]}, ("", "", "")),
    ],
)
def test_a_providers_words_are_found_in_every_form(error: Any, words: tuple[str, str, str]) -> None:
    names = ("provider_message", "provider_code", "provider_param")
    assert words_of(error) == {name: text for name, text in zip(names, words, strict=True) if text}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no healthy upstream", "no healthy upstream"),
        (b"\xff\x00oops", "\ufffd\ufffdoops"),
        (b"<html><h1>502 Bad Gateway</h1></html>", None),
        (b"<!DOCTYPE html>", None),
        (b"", None),
        (b"[" * 50_000, "[" * LONGEST_MESSAGE),
        (json.dumps({"error": {"message": "long " * 5000}}).encode(), ("long " * 5000)[:LONGEST_MESSAGE]),
    ],
)
def test_a_plain_text_refusal_is_reported_unless_it_is_a_page(body: bytes, said: str | None) -> None:
    assert refusal(provider="openai", status=400, body=body).details.get("provider_message") == said


KEYS = [
    "sk-secret",
    "sk-proj-abc_DEF-123",
    "sk-ab*****************yz12",
    "sk-ant-api03-xxxxxxxx",
    "gsk_abcdefghijklmnop123",
    "xai-abcdefghijk",
    "hf_abcdefghijklmnopqrst",
    "nvapi-abcdefgh",
    "AIzaSyA1234567890abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "0123456789abcdef0123456789abcdef",
    "aB3aB3aB3aB3aB3aB3aB3aB3",
    "Bearer abcd1234efgh",
    "Bearer abcdefghijklmnopqrstuvwxyz",
    "key=abcd1234",
    'token: "abc-123-def"',
    "password hunter2hunter2",
]


@pytest.mark.parametrize("key", KEYS)
def test_what_looks_like_a_key_is_removed_from_the_words(key: str) -> None:
    hidden = redacted(f"We reject {key}, sorry.")
    assert re.split("[ =]", key)[-1].strip('"') not in hidden
    assert hidden.startswith(f"We reject {REMOVED}")
    assert hidden.endswith(", sorry.")


@pytest.mark.parametrize(
    "words",
    [
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
        "Rate limit reached for gpt-4o on tokens_per_minute: limit 30000, tokens/minute used 29000.",
        "The tokenizer_config of meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo is missing.",
        "max_tokens is too large: 200000. This model supports at most 16384 completion tokens.",
        "Skillfully basic authentication; the token requested was claude-sonnet-4-20250514.",
        "messages.0.content.1.tool_use_id: unexpected value in key `tool_result`",
    ],
)
def test_ordinary_words_stay(words: str) -> None:
    assert redacted(words) == words


def test_the_key_that_was_sent_is_removed_in_any_format() -> None:
    body = b'{"error": {"message": "plain is unknown", "param": "plain", "code": "plain"}}'
    error = refusal(provider="openai", status=401, body=body, secrets=["plain"])
    assert "plain" not in str(error.as_dict())
    assert error.details["provider_message"] == f"{REMOVED} is unknown"


def test_hostile_words_are_redacted_quickly() -> None:
    with cpu_at_most(1, time.thread_time):
        for hostile in ("key.", "key ", "a1B" * 2, "sk-", 'token="', "0123456789abcdef"):
            redacted(hostile * (64 * 1024 // len(hostile)))


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000.",
        "the request exceeds the available context size",
        "the request exceeds the available context window",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Please reduce the length of the messages or completion.",
        "Input is too long for requested model.",
        "Too many input tokens.",
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_prompt_beyond_the_window_is_context_too_long(message: str, status: int) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    assert isinstance(refusal(provider="openai", status=status, body=body), ContextTooLong)
    assert type(refusal(provider="openai", status=500, body=body)) is ProviderError
