"""Fits a conversation's earlier turns into the model's window, oldest dropped first."""

from collections.abc import Sequence
from typing import Any

from gateway.calls.bounds import Bounds, bound_call, expect_fit
from gateway.providers.base import JsonObject, ModelRequest, Provider
from workspaces.language_models.queries import ModelRef

HISTORY_TURNS = 100  # at most


async def fit_request(
    *,
    provider: Provider,
    model: ModelRef,
    history: list[list[dict[str, Any]]],
    message: str | list[JsonObject],
    instructions: str = "",
    max_tokens: int | None,
    temperature: float | None,
    tools: Sequence[JsonObject] = (),
) -> tuple[ModelRequest, Bounds]:
    """The request with as much history as fits next to the output.

    `instructions` come first and are never dropped. `history` has one list of messages per turn, oldest
    first. ContextTooLong if the message alone does not fit: a request is refused rather than shortened.
    """
    output = max_tokens or model.output_bound
    system = [{"role": "system", "content": instructions}] if instructions else []

    async def attempt(dropped: int) -> tuple[ModelRequest, Bounds, bool]:
        remaining = [earlier for turn in history[dropped:] for earlier in turn]
        request = ModelRequest(
            model=model.upstream_name,
            messages=[*system, *remaining, {"role": "user", "content": message}],
            max_tokens=output,
            temperature=temperature,
            tools=list(tools),
        )
        bounds = await bound_call(provider, request, model)
        return request, bounds, bounds.prompt + bounds.output <= model.context_window

    fewest, most = 0, len(history)
    request, bounds, fits = await attempt(fewest)
    if fits:
        return request, bounds
    request, bounds, fits = await attempt(most)
    expect_fit(model, bounds)
    while most - fewest > 1:
        middle = (fewest + most) // 2
        tried, tried_bounds, fits = await attempt(middle)
        if fits:
            most, request, bounds = middle, tried, tried_bounds
        else:
            fewest = middle
    return request, bounds
