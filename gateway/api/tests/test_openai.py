"""OpenAI's own Python package chats with only its base address and its key changed."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from accounts.tests.cast import Cast
from gateway.tests.events import send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, Hold, UsageRecord
from quotas.tests.ledger import limit_to
from workspaces.language_models.installation import add_credential, install_model

PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
HELLO: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


@pytest.fixture
def alice(server: Served, cast: Cast) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token) as client:
        yield client


def test_it_lists_the_enabled_models(alice: openai.OpenAI) -> None:
    assert [model.id for model in alice.models.list()] == ["local", "local-embedding"]
    assert alice.models.retrieve("local").owned_by == "local"
    with pytest.raises(openai.NotFoundError):
        alice.models.retrieve("gpt-4")


def test_a_model_is_called_as_its_provider_calls_it(
    alice: openai.OpenAI, provider: ScriptedProvider, cast: Cast, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = [settings.LOCAL_MODEL_URL.removeprefix("http://")]
    with tenant_scope(cast.alice.principal.tenant):
        credential = add_credential(
            workspace_id=cast.alice.principal.workspace.id,
            name="Ours",
            kind="compatible",
            key="",
            base_url=f"{settings.LOCAL_MODEL_URL}/v1",
        )
        bounds = {"context_window": 10_000, "output_bound": 200, "enabled": True}
        for slug in ("openai/gpt-4o", "qwen3:0.6b"):
            row = install_model(credential=credential, slug=slug, upstream_name="gpt", **bounds)
    for slug in ("openai/gpt-4o", "qwen3:0.6b"):
        assert alice.models.retrieve(slug).id == slug
        answer = alice.chat.completions.create(model=slug, messages=HELLO)
        assert (answer.choices[0].message.content, provider.requests[-1]["model"]) == ("Hello there.", "gpt")
    sent = send(httpx.Client(base_url=str(alice.base_url)[:-3], headers=cast.alice.headers), "hi", model=slug)
    assert sent.status_code == 200
    line = UsageRecord.objects.latest("id")
    assert (line.model, line.model_id) == (slug, row.id)
    for encoded in ("openai%2Fgpt-4o", "openai/gpt-4o", "qwen3%3A0.6b"):
        found = httpx.get(f"{str(alice.base_url).rstrip('/')}/models/{encoded}", headers=cast.alice.headers)
        assert found.json()["id"] in {"openai/gpt-4o", "qwen3:0.6b"}
    for missing in ("openai/gpt-5", "qwen3:7b", "gpt", "a//b", "../x"):
        with pytest.raises(openai.NotFoundError) as caught:
            alice.models.retrieve(missing)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_it_chats(alice: openai.OpenAI, provider: ScriptedProvider) -> None:
    answer = alice.chat.completions.create(model="local", messages=HELLO, max_tokens=9, top_p=0.5)
    assert answer.choices[0].message.content == "Hello there."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)
    asked = provider.requests[-1]
    assert (asked["messages"], asked["max_tokens"], asked["top_p"]) == (HELLO, 9, 0.5)


def test_it_streams_with_usage(alice: openai.OpenAI) -> None:
    chunks = list(
        alice.chat.completions.create(
            model="local", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello there."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 8


def test_the_clients_own_tools_are_passed_through(alice: openai.OpenAI, provider: ScriptedProvider) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    provider.script = Script(steps=[], tool_calls=[call], finish_reason="tool_calls")
    tools: list[Any] = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    answer = alice.chat.completions.create(model="local", messages=HELLO, tools=tools)
    assert provider.requests[-1]["tools"] == tools
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.arguments == '{"a":1}'  # type: ignore[union-attr]


def test_it_is_charged_like_a_chat_and_leaves_no_conversation(
    alice: openai.OpenAI, client_of: Any, cast: Cast
) -> None:
    alice.chat.completions.create(model="local", messages=HELLO)
    record = UsageRecord.objects.get()
    assert (record.purpose, record.input_tokens, record.output_tokens) == ("completion", 5, 3)
    assert BudgetWindow.objects.get().reserved == 0
    assert client_of(cast.alice).get("/v1/conversations").json()["data"] == []


def test_openais_client_does_not_retry_over_budget(
    alice: openai.OpenAI, cast: Cast, provider: ScriptedProvider
) -> None:
    limit_to(cast.alice, 10)
    with pytest.raises(openai.RateLimitError) as refusal:
        alice.chat.completions.create(model="local", messages=HELLO)
    error: Any = refusal.value.body
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert provider.requests == []


@pytest.mark.parametrize(
    ("payload", "code", "param"),
    [
        ({"messages": []}, "invalid_input", "messages"),
        ({"messages": [{"role": "boss", "content": "hi"}]}, "invalid_input", "messages"),
        ({"max_tokens": -1}, "invalid_input", "max_tokens"),
        ({"n": 3}, "invalid_input", "n"),
        ({"extra_body": {"best_of": 3}}, "unsupported_parameter", "best_of"),
        ({"extra_body": {"max_output_tokens": 9}}, "unsupported_parameter", "max_output_tokens"),
        ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
        ({"max_tokens": 100_000}, "context_length_exceeded", "messages"),
        ({"messages": [{"role": "user", "content": PICTURE}]}, "model_lacks_ability", "messages"),
    ],
)
def test_a_request_that_is_wrong_is_a_bad_request_with_code_and_param(
    alice: openai.OpenAI, provider: ScriptedProvider, payload: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        alice.chat.completions.create(**{"model": "local", "messages": HELLO, **payload})
    body: Any = refusal.value.body
    assert (body["type"], body["code"], body["param"]) == ("invalid_request_error", code, param)
    assert provider.requests == []


def test_an_unknown_model_is_not_found(alice: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        alice.chat.completions.create(model="gpt-4", messages=HELLO)
    body: Any = refusal.value.body
    assert (body["code"], body["param"]) == ("model_not_found", "model")
    assert body["details"] == {"model": "gpt-4", "enabled": ["local"]}


def test_a_provider_that_rejects_the_request_is_a_client_error(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    provider.script = Script(status=400)
    with pytest.raises(openai.BadRequestError, match="the provider's own words") as refusal:
        alice.chat.completions.create(model="local", messages=HELLO, seed=1)
    assert "sk-secret" not in refusal.value.response.text
    assert len(provider.requests) == 1, "it was retried"
    assert BudgetWindow.objects.get().used == 0


def test_stream_may_be_null(alice: openai.OpenAI) -> None:
    answer = alice.chat.completions.create(model="local", messages=HELLO, stream=None)
    assert answer.choices[0].message.content == "Hello there."


def test_a_bad_key_is_an_authentication_error(server: Served, cast: Cast) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="nonsense") as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="local", messages=HELLO)


def test_a_failing_provider_is_an_error_before_the_stream_and_a_line_within_it(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    client = alice.with_options(max_retries=0)
    provider.script = Script(status=500)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="local", messages=HELLO, stream=True)
    provider.script = Script(steps=["Half "], dies=True)
    with pytest.raises(openai.APIError, match=r"stopped in the middle|failed"):
        list(client.chat.completions.create(model="local", messages=HELLO, stream=True))


def test_a_client_that_leaves_cancels_the_call(
    server: Served, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Half ", threading.Event()])
    body = {"model": "local", "messages": HELLO, "stream": True}
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json=body, headers=cast.alice.headers
    ) as answer:
        next(answer.iter_lines())
    assert provider.hangups.acquire(timeout=10), "the provider's stream was left open"
    wait_until(lambda: not Hold.objects.filter(state__in=["held", "sent"]).exists())
    assert BudgetWindow.objects.get().reserved == 0
