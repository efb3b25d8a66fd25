"""Tokens are counted by the tokenizer or the provider if possible, and never charged."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.providers.tests import scripted_anthropic as claude
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from quotas.models import Hold, UsageRecord

Behind = Callable[..., ScriptedServer]
HELLO: Any = {"messages": [{"role": "user", "content": "Hello there"}]}
ADD: Any = {"name": "add", "input_schema": {"type": "object", "properties": {}}}


def test_each_model_counts_as_well_as_it_can(alice: anthropic.Anthropic, behind: Behind) -> None:
    counted = Answer(
        [json.dumps({"input_tokens": 2095}).encode()], headers={"Content-Type": "application/json"}
    )
    upstream = behind("anthropic", counted, claude.refused(400, "invalid_request_error", "messages: no"))
    behind("compatible")
    raw = alice.messages.with_raw_response
    assert alice.messages.count_tokens(model="local", **HELLO).input_tokens == 3
    exact = raw.count_tokens(model="anthropic", tools=[ADD], system="Be brief.", **HELLO)
    assert (exact.parse().input_tokens, exact.headers["x-switchyard-exactness"]) == (2095, "exact")
    sent = upstream.requests[-1]
    assert sent.path == "/v1/messages/count_tokens"
    assert set(sent.body) == {"model", "messages", "system", "tools"}
    estimate = raw.count_tokens(model="compatible", tools=[ADD], **HELLO)
    assert 10 < estimate.parse().input_tokens < 100
    assert estimate.headers["x-switchyard-exactness"] == "estimated"
    with pytest.raises(anthropic.BadRequestError, match="messages: no"):
        alice.messages.count_tokens(model="anthropic", **HELLO)
    assert not UsageRecord.objects.exists()
    assert not Hold.objects.exists()


def test_a_provider_that_cannot_count_now_leads_to_an_estimate(
    alice: anthropic.Anthropic, behind: Behind
) -> None:
    behind("anthropic", claude.refused(529, "overloaded_error"))
    answer = alice.messages.with_raw_response.count_tokens(model="anthropic", **HELLO)
    assert answer.headers["x-switchyard-exactness"] == "estimated"


def test_counting_needs_the_rights_of_the_call(client_of: Any, cast: Cast) -> None:
    client: httpx.Client = client_of(cast.alice)
    unknown = client.post("/v1/messages/count_tokens", json={"model": "gpt-9", **HELLO})
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
    body = {"name": "reader", "scopes": ["read"]}
    key = client.post("/v1/workspaces/sales/api-keys", json=body).json()["key"]
    reader = client.post(
        "/v1/messages/count_tokens",
        json={"model": "local", **HELLO},
        headers={"authorization": f"Bearer {key}"},
    )
    assert (reader.status_code, reader.json()["error"]["type"]) == (403, "permission_error")
