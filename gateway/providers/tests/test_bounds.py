"""The bound of a prompt without a tokenizer: every byte of the request counts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProviderError
from gateway.providers.anthropic import TOOL_PROMPT, AnthropicProvider
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.local import LocalProvider
from gateway.providers.openai import AzureProvider, CompatibleProvider, OpenAIProvider
from gateway.providers.sizes import IMAGE_BOUND, byte_bound
from gateway.providers.tests.scripted_http import Answer, ScriptedServer

REMOTE = [OpenAIProvider, AzureProvider, CompatibleProvider, AnthropicProvider]
IMAGE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


def bound(content: Any) -> int:
    request = ModelRequest(model="m", messages=[{"role": "user", "content": content}], max_tokens=1)
    return byte_bound(CompatibleProvider("https://p"), request)


@given(st.text())
def test_a_text_is_bounded_by_its_bytes(text: str) -> None:
    assert bound(text) >= len(text.encode("utf-8", "replace"))


@pytest.mark.parametrize("provider", [CompatibleProvider("https://p"), AnthropicProvider("https://p")])
@pytest.mark.parametrize(
    "url", ["https://a/b.png", "switchyard-image:1", "data:image/png;base64," + "A" * 900_000]
)
def test_an_image_costs_the_same_however_it_is_sent(provider: Any, url: str) -> None:
    def cost(*parts: JsonObject) -> int:
        content = [{"type": "text", "text": "Look."}, *parts]
        messages = [{"role": "user", "content": content}]
        return byte_bound(provider, ModelRequest(model="m", messages=messages, max_tokens=1))

    image = {"type": "image_url", "image_url": {"url": url}}
    assert cost(image, image) - cost(image) == cost(IMAGE) - cost() < IMAGE_BOUND + 200


def test_other_fields_of_an_image_count_by_their_bytes() -> None:
    hidden = {**IMAGE, "image_url": {"url": "https://a/b.png", "detail": "x" * 5000}, "note": "y" * 5000}
    assert bound([hidden]) >= IMAGE_BOUND + 10_000


def test_the_instructions_that_claude_adds_for_tools_are_within_its_bound() -> None:
    provider = AnthropicProvider("https://p")
    tools = [{"type": "function", "function": {"name": "f"}}]
    plain = ModelRequest(model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
    with_tools = ModelRequest(model="m", messages=plain.messages, max_tokens=1, tools=tools)
    assert byte_bound(provider, with_tools) > byte_bound(provider, plain) + TOOL_PROMPT


@pytest.mark.parametrize("kind", [*REMOTE, LocalProvider])
async def test_the_whole_request_on_the_wire_is_within_the_bound(
    upstream: ScriptedServer, kind: Any, settings: Any
) -> None:
    """Unknown parameters that are passed through count too."""
    settings.LOCAL_MODEL_URL = upstream.url.removesuffix("/v1")
    provider = kind() if kind is LocalProvider else kind(upstream.url, api_key="k")
    upstream.answers = [Answer([b"data: [DONE]\n\n"])]
    request = ModelRequest(
        model="m",
        messages=[
            {"role": "system", "content": "Пиши кратко. " * 50},
            {"role": "user", "content": [{"type": "text", "text": "\ud800 \x00 é" * 300}]},
        ],
        max_tokens=9,
        temperature=0.3,
        tools=[{"type": "function", "function": {"name": "f", "description": "𝄞" * 700}}],
        extra={
            "stop": ["\n" * 300],
            "tool_choice": {"type": "function", "function": {"name": "f" * 400}},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x" * 4000, "schema": {"title": "s"}},
            },
            "of_next_year": {"text": "z" * 5000},
        },
    )
    with pytest.raises(ProviderError):
        _ = [event async for event in provider.stream(request)]
    sent = json.dumps(upstream.requests[-1].body, ensure_ascii=False, separators=(",", ":"))
    assert byte_bound(provider, request) >= len(sent.encode("utf-8", "surrogatepass"))
    assert int(upstream.requests[-1].headers["content-length"]) <= byte_bound(provider, request)
