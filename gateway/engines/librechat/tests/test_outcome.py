"""How a turn's end is told: the egress's word first, then what LibreChat's text holds."""

import pytest

from gateway.engines.librechat.outcome import error_of
from gateway.engines.librechat.reading import Failure
from gateway.engines.librechat.tests.playing import play_stream, streams
from kit.errors import ContextTooLong, DomainError, EngineFailed, ProviderError, QuotaExceeded

NEVER_BEGAN = ["chat_unknown_endpoint-1", "chat_unknown_model-1", "chat_second_turn_replaces-1"]
SEEN = QuotaExceeded(level="workspace", metric="tokens").as_dict()


@pytest.mark.parametrize("end", [Failure("402 whatever"), Failure("never", never_began=True)])
def test_the_egress_has_the_first_word(end: Failure) -> None:
    error = error_of(end, {"error": SEEN, "finish_reason": None}, provider="local")
    assert isinstance(error, QuotaExceeded)
    assert error.details == {"level": "workspace", "metric": "tokens"}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("chat_upstream_401-1", 401),
        ("chat_upstream_429-1", 429),
        ("chat_routed_402-1", 402),
        ("chat_upstream_dies-1", None),
    ],
)
def test_without_it_the_status_comes_from_the_recorded_text(name: str, status: int | None) -> None:
    error = error_in(name)
    assert isinstance(error, ProviderError)
    assert error.details == {"provider": "local", "provider_status": status}
    assert "scripted failure" not in str(error.as_dict())


@pytest.mark.parametrize("name", NEVER_BEGAN)
def test_what_never_began_is_the_engines_failure_and_tells_nothing_raw(name: str) -> None:
    assert error_in(name).as_dict() == EngineFailed().as_dict()


@pytest.mark.parametrize("text", ["", "request: 200 fine", "request: 4290 tokens", "request: 42", "503"])
def test_a_number_that_is_no_status_is_none(text: str) -> None:
    error = error_of(Failure(text), {}, provider="local")
    assert error.details["provider_status"] is None


def test_an_error_with_a_constructor_of_its_own_comes_back_as_itself() -> None:
    for seen in (ProviderError(provider="x", provider_status=500), ContextTooLong(message=["too long"])):
        error = error_of(Failure("x"), {"error": seen.as_dict()}, provider="local")
        assert (type(error), error.as_dict()) == (type(seen), seen.as_dict())


def error_in(name: str) -> DomainError:
    end = play_stream(streams()[name])[-1]
    assert isinstance(end, Failure)
    return error_of(end, {"error": None}, provider="local")
