"""A provider's `Retry-After`, in either of its forms."""

from datetime import UTC, datetime

import pytest

from gateway.providers.refusals import refusal, retry_after_seconds

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
        (429, b"", "overloaded"),
        (429, b"insufficient_quota", "no credit left"),
        (503, b"", "overloaded"),
        (400, b"", "refused the request"),
        (400, b"context_length_exceeded", "prompt is too long"),
        (400, b'{"error": {"message": "The context window is 9 tokens."}}', "prompt is too long"),
        (400, b'{"error": {"message": "The context window is 9 tokens."}}', "window is 9 tokens"),
        (302, b"", "failed"),
    ],
)
def test_the_text_says_what_kind_of_refusal_it_is(status: int, body: bytes, words: str) -> None:
    assert words in str(refusal(provider="openai", status=status, body=body))
