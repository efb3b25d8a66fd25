"""A prompt is estimated from the request body, within its bound, without blocking the event loop."""

import asyncio
import time
from typing import Any

import pytest

from gateway.calls.bounds import bound_call
from gateway.calls.learned_ratios import forget_ratios
from gateway.calls.prompt_estimate import PromptEstimate, estimate_prompt
from gateway.calls.tests.test_charges import model_at
from gateway.calls.token_estimate import estimated_tokens
from gateway.providers.anthropic import TOOL_PROMPT
from gateway.providers.base import ModelRequest
from gateway.providers.registry import provider_for
from gateway.providers.sizes import IMAGE_BOUND
from kit.tests.cpu_time import cpu_at_most

TOOL = {"type": "function", "function": {"name": "add", "description": "Adds numbers.", "parameters": {}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}}


@pytest.fixture(autouse=True)
def nothing_learned() -> None:
    forget_ratios()


def request_of(content: Any, **more: Any) -> ModelRequest:
    return ModelRequest(model="m", messages=[{"role": "user", "content": content}], max_tokens=10, **more)


async def estimated(request: ModelRequest, kind: str = "openai") -> tuple[int, int, PromptEstimate]:
    """The charge, the bound, and the estimate that learns."""
    model = model_at("https://models.example.com/v1", kind)
    provider = provider_for(model)
    known = await bound_call(provider, request, model)
    bounds, estimate = await estimate_prompt(provider, request, model, known)
    assert estimate
    assert bounds.prompt == known.prompt, "the hold is unchanged"
    return bounds.estimated_prompt, bounds.prompt, estimate


def charge_of(request: ModelRequest, kind: str = "openai") -> int:
    return asyncio.run(estimated(request, kind))[0]


@pytest.mark.parametrize(
    "text",
    [
        ("Please summarise this sentence for me. " * 250),
        ("The budget of the committee was approved by a large majority of its members. " * 127)[:9750],
    ],
)
def test_english_prose_is_estimated_at_about_a_quarter_of_its_bytes(text: str) -> None:
    assert len(text) == 9750
    assert 2437 <= charge_of(request_of(text)) <= 3700


def test_json_escapes_do_not_raise_the_estimate() -> None:
    text = 'He said "no".\n' * 400
    assert charge_of(request_of(text)) <= estimated_tokens(text) + 60


@pytest.mark.parametrize("kind", ["openai", "anthropic", "compatible", "azure"])
def test_the_whole_request_is_estimated(kind: str) -> None:
    plain = charge_of(request_of("Hello"), kind)
    assert charge_of(request_of("Hello", tools=[TOOL] * 20), kind) > plain + 20 * 10
    if kind != "anthropic":  # which has no such parameter
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"title": "word " * 100}}}
        assert charge_of(request_of("Hello", extra={"response_format": schema}), kind) > plain + 100


def test_hidden_instructions_and_images_are_added() -> None:
    with_tool = request_of("Hello", tools=[TOOL])
    assert charge_of(with_tool, "anthropic") >= TOOL_PROMPT + charge_of(request_of("Hello"), "anthropic")
    images = request_of([{"type": "text", "text": "What is this?"}, IMAGE, IMAGE])
    assert 2 * IMAGE_BOUND < charge_of(images) <= 2 * IMAGE_BOUND + 150


def test_a_models_count_raises_its_next_estimate_up_to_the_bound() -> None:
    request = request_of("Please summarise this. " * 40)
    before, bound, estimate = asyncio.run(estimated(request))
    estimate.learn(2 * before)
    assert charge_of(request) == 2 * before
    estimate.learn(100 * before)
    assert charge_of(request) == bound


def test_a_call_with_images_does_not_raise_estimates() -> None:
    request = request_of([{"type": "text", "text": "What is this?"}, IMAGE])
    before, _, estimate = asyncio.run(estimated(request))
    estimate.learn(10 * before)
    assert charge_of(request) == before


def test_measuring_a_large_request_does_not_block_the_event_loop() -> None:
    async def rounds_of_the_loop() -> int:
        model = model_at("https://models.example.com/v1", "openai")
        provider, request = provider_for(model), request_of("Lorem ipsum dolor. " * 16_000)
        known = await bound_call(provider, request, model)
        task = asyncio.ensure_future(estimate_prompt(provider, request, model, known))
        rounds = 0
        while not task.done():
            await asyncio.sleep(0)
            rounds += 1
        bounds, _ = await task
        assert 16_000 * 3 < bounds.estimated_prompt < known.prompt
        return rounds

    assert asyncio.run(rounds_of_the_loop()) > 10


@pytest.mark.parametrize(
    "piece",
    ["a", "aB", " 1", '{"', "日", "\u0600", "\U0001f600", "\n", " ", "word ", "=", "\ud800", "\x00", '"],['],
)
def test_an_estimate_takes_linear_time(piece: str) -> None:
    """Per 100 kB usually 10 to 50 ms of processor time, and at most 400 ms on a slow machine."""
    with cpu_at_most(0.8, time.thread_time):
        assert estimated_tokens(piece * (200_000 // len(piece))) > 0
