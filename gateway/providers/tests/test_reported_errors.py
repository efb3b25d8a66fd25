"""Errors inside an answer with status 200 are recognised in their many forms, with status and words."""

from typing import Any

import pytest

from gateway.providers.reported_errors import error_in, reported_error, status_of


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ({"error": "gone"}, ""),
        ({"error": {"message": "gone"}}, ""),
        ({"error": {"message": "gone"}, "choices": []}, ""),
        ({"error": True, "message": "gone"}, ""),
        ({"object": "error", "message": "gone"}, ""),  # vLLM
        ({"type": "error", "error": {"type": "overloaded_error"}}, ""),
        ({"type": "error"}, ""),
        ({"x": 1}, "error"),
        ({"message": "gone"}, ""),
        ({"msg": "gone", "code": 500}, ""),
        ({"error_msg": "gone", "error_code": 336}, ""),
        ({"detail": "gone"}, ""),  # FastAPI
        ({"detail": [{"loc": ["body", "n"], "msg": "gone"}]}, ""),
        ({"errors": [{"message": "gone"}]}, ""),
        ({"message": "gone", "choices": []}, ""),
    ],
)
def test_an_error_is_recognised(data: dict[str, Any], event: str) -> None:
    assert error_in(data, event=event) is not None


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": []},
        {"error": None, "choices": []},
        {"error": "", "choices": []},
        {"error": {}, "choices": [{"delta": {}}]},
        {"choices": [{"delta": {"content": "x"}}], "message": "ok"},
        {"usage": {"prompt_tokens": 1}, "detail": "counts"},
        {"type": "message_start", "message": {"role": "assistant"}},
        {"message": {"role": "assistant", "content": "Ollama's"}, "done": True},
    ],
)
def test_an_answer_is_no_error(data: dict[str, Any]) -> None:
    assert error_in(data) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 503}, 503),
        ({"code": "429"}, 429),
        ({"status": 402}, 402),
        ({"status_code": 500, "type": "x"}, 500),
        ({"code": "x"}, 200),
        ({"code": True}, 200),
        ({"code": 7}, 200),
        ({"code": 200}, 200),
        ("gone", 200),
        (None, 200),
        ([], 200),
        ({"type": "rate_limit_error"}, 429),
        ({"code": "rate-limit-exceeded"}, 429),
        ({"type": "tokens", "code": "rate_limit_exceeded"}, 429),
        ({"status": "RESOURCE_EXHAUSTED"}, 429),
        ({"type": "overloaded_error"}, 503),
        ({"status": "UNAVAILABLE"}, 503),
        ({"code": "insufficient_credits"}, 402),
        ({"code": "invalid_api_key"}, 401),
        ({"type": "permission_denied"}, 403),
        ({"code": "model_not_found"}, 404),
        ({"type": "invalid_request_error"}, 400),
        ({"type": "BadRequestError", "code": 400}, 400),
        ({"code": "context_length_exceeded"}, 400),
        ({"status": "DEADLINE_EXCEEDED"}, 504),
        ({"type": "server_error"}, 500),
        ({"type": "InternalServerError"}, 500),
    ],
)
def test_an_errors_status_is_its_code_or_that_of_its_type(error: object, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("error", "has_begun", "did_no_work", "transient"),
    [
        ({"code": 503}, False, True, True),
        ({"code": 503}, True, False, True),
        ({"code": 400}, False, True, False),
        ({"code": 504}, False, False, True),  # a model behind the server may have worked
        ("gone", False, True, False),
    ],
)
def test_an_error_before_the_reply_costs_nothing(
    error: object, has_begun: bool, did_no_work: bool, transient: bool
) -> None:
    failure = reported_error(error, provider="openai", has_begun=has_begun)
    assert (failure.did_no_work, failure.transient) == (did_no_work, transient)


def test_the_providers_words_are_reported_without_keys() -> None:
    error = {"message": "Key sk-abcdefghijkl is over its limit", "code": "rate_limit_exceeded", "param": "n"}
    failure = reported_error(error, provider="openai", has_begun=False)
    assert failure.details == {
        "provider": "openai",
        "provider_status": 429,
        "provider_message": "Key [removed] is over its limit",
        "provider_code": "rate_limit_exceeded",
        "provider_param": "n",
    }
    assert str(failure) == "The provider reports an error: Key [removed] is over its limit"
