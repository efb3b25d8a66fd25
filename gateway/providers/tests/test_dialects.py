"""If a server refuses only a field of ours, the request is sent again without it, also in future."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import ProviderError
from gateway.providers.base import Finish
from gateway.providers.dialects import MOST_DIALECTS, Dialect, Dialects, after_refusal, dialects
from gateway.providers.openai import CompatibleProvider, OpenAIProvider
from gateway.providers.refusals import refusal
from gateway.providers.tests.scripted_http import ScriptedServer
from gateway.providers.tests.scripted_openai import refused, reply

OLD, NEW = Dialect("max_tokens"), Dialect("max_completion_tokens")
PLAIN = Dialect("max_tokens", takes_stream_options=False)


@pytest.fixture(autouse=True)
def nothing_learned() -> Iterator[None]:
    dialects().forget()
    yield
    dialects().forget()


def error(message: str, *, status: int = 400, **more: Any) -> ProviderError:
    body = json.dumps({"error": {"message": message, **more}}).encode()
    found = refusal(provider="compatible", status=status, body=body)
    assert isinstance(found, ProviderError)
    return found


OPENAIS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)


@pytest.mark.parametrize(
    ("before", "failure", "after"),
    [
        (OLD, error("stream_options is not supported"), PLAIN),
        (OLD, error("Unknown field", param="stream_options"), PLAIN),
        (OLD, error("body.stream_options: Extra inputs are not permitted", status=422), PLAIN),
        (PLAIN, error("stream_options is not supported"), None),
        (OLD, error(OPENAIS), NEW),
        (OLD, error("Unsupported", param="max_tokens"), NEW),
        (NEW, error("Unrecognized request argument supplied: max_completion_tokens"), OLD),
        (NEW, error("max_completion_tokens: unknown field", status=422), OLD),
        (PLAIN, error(OPENAIS), Dialect("max_completion_tokens", takes_stream_options=False)),
        # A refusal of the value is for the client.
        (OLD, error("max_tokens is too large: 9. This model supports at most 4."), None),
        (OLD, error("max_tokens must be at least 1", param="max_tokens"), None),
        (OLD, error("top_k is not supported"), None),
        (OLD, error("stream_options is not supported", status=401), None),
        (OLD, error("stream_options is not supported", status=500), None),
    ],
)
def test_only_a_refusal_of_our_own_field_changes_the_dialect(
    before: Dialect, failure: ProviderError, after: Dialect | None
) -> None:
    assert after_refusal(before, failure) == after


async def test_a_server_without_stream_options_gets_a_second_request(
    upstream: ScriptedServer, events_of: Any
) -> None:
    upstream.answers = [refused(400, "Unknown field: stream_options"), reply("Hi")]
    for _ in range(2):
        events = await events_of(CompatibleProvider(upstream.url))
        assert events[-1] == Finish("stop")
    bodies = [request.body for request in upstream.requests]
    assert ["stream_options" in body for body in bodies] == [True, False, False], "the third has learned"
    assert all(body["stream"] for body in bodies)


@pytest.mark.parametrize("kind", [OpenAIProvider, CompatibleProvider])
async def test_the_output_stays_bounded_under_its_other_name(
    upstream: ScriptedServer, events_of: Any, kind: Any
) -> None:
    ours = kind.output_bound
    other = next(name for name in ("max_tokens", "max_completion_tokens") if name != ours)
    upstream.answers = [refused(400, f"Unsupported parameter: '{ours}'. Use '{other}' instead."), reply("Hi")]
    await events_of(kind(upstream.url))
    bounds = [{name: request.body.get(name) for name in (ours, other)} for request in upstream.requests]
    assert bounds == [{ours: 20, other: None}, {ours: None, other: 20}]


async def test_a_server_may_refuse_both(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [refused(400, "Unknown field: stream_options"), refused(400, OPENAIS), reply("Hi")]
    assert (await events_of(CompatibleProvider(upstream.url)))[-1] == Finish("stop")
    last = upstream.requests[-1].body
    assert (last["max_completion_tokens"], "max_tokens" in last, "stream_options" in last) == (
        20,
        False,
        False,
    )


async def test_a_server_that_refuses_everything_is_not_asked_forever(
    upstream: ScriptedServer, events_of: Any
) -> None:
    upstream.answers = [refused(400, f"stream_options and {OPENAIS}")]
    with pytest.raises(ProviderError):
        await events_of(CompatibleProvider(upstream.url))
    assert len(upstream.requests) <= 4


async def test_one_models_dialect_is_not_anothers(upstream: ScriptedServer, events_of: Any) -> None:
    dialects().learn((upstream.url, "other"), PLAIN)
    upstream.answers = [reply("Hi")]
    await events_of(CompatibleProvider(upstream.url))
    assert "stream_options" in upstream.requests[0].body


def test_the_least_recently_used_is_forgotten() -> None:
    known = Dialects()
    for number in range(MOST_DIALECTS):
        known.learn(("u", str(number)), PLAIN)
    known.of(("u", "0"), output_bound="max_tokens")
    known.learn(("u", "new"), PLAIN)
    asked = [known.of(("u", name), output_bound="max_tokens") for name in ("0", "1", "new")]
    assert asked == [PLAIN, OLD, PLAIN]
