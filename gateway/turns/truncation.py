"""Leaves out the oldest messages of a request that is too long for its model, if its client wants that.

Instructions stay. A call is left out together with its results, since providers refuse one without the other.
"""

from dataclasses import replace

from gateway.calls.bounds import Bounds, bound_call, expect_fit
from gateway.calls.prompt_estimate import estimate_prompt
from gateway.providers.base import JsonObject, ModelRequest, Provider
from workspaces.language_models.queries import ModelRef

INSTRUCTIONS = {"system", "developer"}


async def fit_by_truncation(
    provider: Provider, request: ModelRequest, model: ModelRef
) -> tuple[ModelRequest, Bounds]:
    """The request with as many of its latest messages as fit, by the tokenizer's count or an estimate.

    ContextTooLong if the latest message alone does not fit.
    """
    groups = _groups(request.messages)

    async def attempt(dropped: int) -> tuple[ModelRequest, Bounds, bool]:
        left_out = {id(message) for group in groups[:dropped] for message in group}
        messages = [message for message in request.messages if id(message) not in left_out]
        shorter = replace(request, messages=messages)
        bounds = await bound_call(provider, shorter, model)
        estimated, _ = await estimate_prompt(provider, shorter, model, bounds)
        prompt = bounds.estimated_prompt if bounds.counted is not None else estimated.estimated_prompt
        return shorter, bounds, prompt + min(bounds.output, model.output_bound) <= model.context_window

    fewest, most = 0, max(len(groups) - 1, 0)
    found, bounds, fits = await attempt(fewest)
    if fits:
        return found, bounds
    found, bounds, fits = await attempt(most)
    expect_fit(model, bounds)
    while most - fewest > 1:  # `most` fits, `fewest` does not
        middle = (fewest + most) // 2
        shorter, shorter_bounds, fits = await attempt(middle)
        if fits:
            most, found, bounds = middle, shorter, shorter_bounds
        else:
            fewest = middle
    return found, bounds


def _groups(messages: list[JsonObject]) -> list[list[JsonObject]]:
    """Messages that are left out together, oldest first: a question, or a reply with its results."""
    groups: list[list[JsonObject]] = []
    for message in messages:
        if message.get("role") in INSTRUCTIONS:
            continue
        if message.get("role") == "tool" and groups:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups
