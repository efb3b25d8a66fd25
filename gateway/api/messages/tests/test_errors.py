"""Errors have the status and type on which Anthropic's clients act."""

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.api.messages.errors import error_body, error_type, is_final, wire_status
from gateway.errors import ContextTooLong, ProviderError, ProviderPaused, ProviderTimeout
from gateway.providers.tests import scripted_anthropic as claude
from gateway.providers.tests import scripted_openai as gpt
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from kit.errors import (
    AtCapacity,
    DomainError,
    Forbidden,
    InternalError,
    NotFound,
    PayloadTooLarge,
    RateLimited,
)
from quotas.errors import PriceUnknown, QuotaExceeded
from quotas.tests.ledger import limit_to

Behind = Callable[..., ScriptedServer]
HELLO: Any = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def provider_error(status: int) -> ProviderError:
    return ProviderError("It failed.", provider="anthropic", provider_status=status)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ContextTooLong(), 400, "invalid_request_error"),
        (Forbidden(), 403, "permission_error"),
        (NotFound(), 404, "not_found_error"),
        (PayloadTooLarge(), 413, "request_too_large"),
        (RateLimited(retry_after=3), 429, "rate_limit_error"),
        (QuotaExceeded(), 402, "billing_error"),
        (AtCapacity(), 529, "overloaded_error"),
        (InternalError(), 500, "api_error"),
        (ProviderTimeout(provider="anthropic"), 504, "timeout_error"),
        (ProviderPaused(provider="anthropic"), 529, "overloaded_error"),
        (provider_error(401), 500, "api_error"),
        (provider_error(402), 402, "billing_error"),
        (provider_error(422), 400, "invalid_request_error"),
        (provider_error(429), 429, "rate_limit_error"),
        (provider_error(500), 500, "api_error"),
        (provider_error(529), 529, "overloaded_error"),
    ],
)
def test_each_error_has_anthropics_status_and_type(error: DomainError, status: int, kind: str) -> None:
    assert (wire_status(error), error_type(wire_status(error))) == (status, kind)
    body = error_body(error, "req_1")
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", kind, "req_1")
    assert body["error"]["code"] == error.code


def test_a_prompt_that_is_too_long_is_told_in_anthropics_words() -> None:
    def message(**details: int) -> str:
        return str(error_body(ContextTooLong(**details), "")["error"]["message"])

    assert (
        message(context_window=100, prompt_tokens=120, output_tokens=5)
        == "prompt is too long: 120 tokens > 100 maximum"
    )
    assert message(context_window=100, prompt_tokens=90, output_tokens=20).startswith(
        "input length and `max_tokens` exceed context limit: 90 + 20 > 100"
    )
    assert message().startswith("prompt is too long")


def test_what_a_retry_cannot_mend_is_not_retried() -> None:
    finals = [QuotaExceeded(), PriceUnknown(), provider_error(401)]
    assert [is_final(error) for error in (*finals, RateLimited(), provider_error(500))] == [True] * 3 + [
        False
    ] * 2


@pytest.fixture
def retrying(server: Served, cast: Cast) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=cast.alice.token, max_retries=3) as client:
        yield client


def test_a_spent_budget_is_not_retried(
    retrying: anthropic.Anthropic, cast: Cast, provider: ScriptedProvider, client_of: Any
) -> None:
    limit_to(cast.alice, 10)
    with pytest.raises(anthropic.APIStatusError) as refusal:
        retrying.messages.create(model="local", **HELLO)
    assert refusal.value.status_code == 402
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert refusal.value.body["error"]["type"] == "billing_error"  # type: ignore[index]
    assert provider.requests == []


def test_its_package_raises_the_right_exceptions(
    alice: anthropic.Anthropic, server: Served, provider: ScriptedProvider
) -> None:
    with pytest.raises(anthropic.NotFoundError, match="not enabled"):
        alice.messages.create(model="claude-opus-9", **HELLO)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        alice.messages.create(model="local", **{**HELLO, "max_tokens": -1})
    with pytest.raises(anthropic.BadRequestError, match="input length and `max_tokens` exceed context limit"):
        alice.messages.create(model="local", timeout=30, **{**HELLO, "max_tokens": 100_000})
    with (
        anthropic.Anthropic(base_url=server.url, api_key="nonsense", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError) as refusal,
    ):
        stranger.messages.create(model="local", **HELLO)
    assert refusal.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]
    provider.script = Script(status=400)
    with pytest.raises(anthropic.BadRequestError, match="the provider's own words"):
        alice.messages.create(model="local", **HELLO)


def test_a_providers_429_is_retried_when_it_says(retrying: anthropic.Anthropic, behind: Behind) -> None:
    upstream = behind("compatible", gpt.refused(429, "Slow down", retry_after="100"))
    with pytest.raises(anthropic.RateLimitError) as refusal:
        retrying.with_options(max_retries=0).messages.create(model="compatible", **HELLO)
    assert refusal.value.response.headers["retry-after"] == "100"
    assert len(upstream.requests) == 1


def test_an_error_within_the_stream_is_an_event(
    alice: anthropic.Anthropic, behind: Behind, client_of: Any, cast: Cast
) -> None:
    behind(
        "anthropic",
        Answer(
            [
                claude.start(),
                claude.block(0, {"type": "text", "text": "Half"}),
                claude.error("overloaded_error"),
            ]
        ),
    )
    client: httpx.Client = client_of(cast.alice)
    answer = client.post("/v1/messages", json={"model": "anthropic", "stream": True, **HELLO})
    assert (answer.status_code, "event: message_stop" in answer.text) == (200, False)
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith('event: error\ndata: {"type":"error","error":{')
    assert '"type":"overloaded_error"' in last
    with pytest.raises(anthropic.APIStatusError), alice.messages.stream(model="anthropic", **HELLO) as stream:
        stream.until_done()


# One request each would take long to set up.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens"),
    ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "document", "source": {"type": "url", "url": "https://a"}}],
                }
            ]
        },
        "messages[0].content[0].source.type",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
            ]
        },
        "messages[0].content[0].source.type",
    ),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "tools[0].type"),
    ({"mcp_servers": [{"type": "url", "url": "https://a"}]}, "mcp_servers"),
    ({"speed": "fast"}, "speed"),
    ({"inference_geo": "us"}, "inference_geo"),
    ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
    ({"tool_choice": {"type": "sometimes"}}, "tool_choice.type"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools"),  # the model is not Claude
    ({"temperature": 7}, "temperature"),
]


def test_what_cannot_be_passed_on_is_refused_by_name(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client: httpx.Client = client_of(cast.alice)
    for fields, name in REFUSED:
        answer = client.post("/v1/messages", json={"model": "local", **HELLO, **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], list(error["details"])) == (
            400,
            "invalid_request_error",
            [name],
        )
        assert name in error["message"]
    features = {"anthropic-beta": "a b;c"}
    answer = client.post("/v1/messages", json={"model": "local", **HELLO}, headers=features)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, ["anthropic-beta"])
    assert provider.requests == []
