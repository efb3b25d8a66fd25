"""A turn's end: an error of the egress first, else LibreChat's, which is never the provider's fault."""

import pytest

from gateway.engines.librechat.outcome import error_of, status_in
from gateway.engines.librechat.stream_parser import Failure
from gateway.engines.librechat.tests.playback import play_stream, streams
from gateway.errors import ContextTooLong, EngineFailed, ProviderError
from quotas.errors import QuotaExceeded

NEVER_BEGAN = {
    "chat_unknown_endpoint-1": "endpoint_models_not_loaded",
    "chat_unknown_model-1": "illegal_model_request",
    "chat_second_turn_replaces-1": "Generation state changed; reconnect to load the saved response.",
}
FAILED = ["chat_upstream_401-1", "chat_upstream_429-1", "chat_routed_402-1", "chat_upstream_dies-1"]
SEEN = QuotaExceeded(level="workspace", metric="tokens").as_dict()
PREFIX = "An error occurred while processing the request: "


@pytest.mark.parametrize("end", [Failure("402 whatever"), Failure("never", never_began=True)])
def test_an_error_of_the_egress_takes_precedence(end: Failure) -> None:
    error = error_of(end, {"error": SEEN, "finish_reason": None}, context_window=4096)
    assert isinstance(error, QuotaExceeded)
    assert error.details == {"level": "workspace", "metric": "tokens"}


@pytest.mark.parametrize("name", FAILED)
@pytest.mark.parametrize("seen", [{}, {"error": None}, {"finish_reason": "tool_calls"}])
def test_without_an_error_of_the_egress_the_engine_failed(name: str, seen: dict[str, object]) -> None:
    end = end_of(name)
    error = error_of(end, seen, context_window=4096)
    assert isinstance(error, EngineFailed)
    assert error.details["engine_said"].startswith("An error occurred while processing the request")
    assert "http" not in str(error.as_dict())


@pytest.mark.parametrize(("name", "said"), NEVER_BEGAN.items())
def test_a_turn_that_never_began_is_an_engine_failure_quoting_librechat(name: str, said: str) -> None:
    error = error_of(end_of(name), {}, context_window=4096)
    assert (type(error), error.details) == (EngineFailed, {"engine_said": said})


@pytest.mark.parametrize(
    "text",
    [
        PREFIX + '{"type":"empty_messages","info":"Message pruning removed all messages"}',
        PREFIX + '{ "type": "INPUT_LENGTH", "info": "9000 / 4000" }',
        "Message pruning removed all messages as none fit in the context window. Please shorten it.",
    ],
)
def test_a_message_too_long_for_librechat_is_context_too_long(text: str) -> None:
    error = error_of(Failure(text), {}, context_window=2000)
    assert (error.code, error.details) == ("context_too_long", {"context_window": 2000})


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("request: 402 x", 402),
        ("", None),
        ("request: 200 fine", None),
        ("request: 4290 tokens", None),
        ("503", None),
    ],
)
def test_a_status_is_read_only_where_librechat_names_one(text: str, status: int | None) -> None:
    assert status_in(text) == status


def test_an_error_with_its_own_constructor_is_restored() -> None:
    for seen in (ProviderError(provider="x", provider_status=500), ContextTooLong(message=["too long"])):
        error = error_of(Failure("x"), {"error": seen.as_dict()}, context_window=4096)
        assert (type(error), error.as_dict()) == (type(seen), seen.as_dict())


def test_secrets_in_librechats_words_are_not_shown() -> None:
    text = "connect ECONNREFUSED 10.1.2.3:8002 with Bearer abcdef and sk-proj-1234567890 at http://egress:8002/v1"
    received = str(error_of(Failure(text), {}, context_window=4096).as_dict())
    assert "ECONNREFUSED" in received
    assert not any(secret in received for secret in ("10.1.2.3", "abcdef", "sk-proj", "egress:8002"))


def end_of(name: str) -> Failure:
    end = play_stream(streams()[name])[-1]
    assert isinstance(end, Failure)
    return end
