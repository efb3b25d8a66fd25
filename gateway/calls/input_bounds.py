"""The most, the fewest and the probable tokens of the inputs of an embedding or a moderation."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from gateway.calls.bounds import LONGEST_TOKEN, Bounds
from gateway.calls.prompt_estimate import PromptEstimate
from gateway.calls.token_estimate import CHUNK, estimated_tokens
from gateway.providers.base import JsonObject
from gateway.providers.embeddings import Inputs
from gateway.providers.sizes import encoded
from workspaces.language_models.queries import ModelRef

_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="input-estimates")
# Per input: the model's own marks, and a prompt that some providers prepend (Voyage's `input_type`).
ADDED_TOKENS = 16
MARKS = 2  # tokens that most models put around an input
# Characters, in 150 to 500 ms of a thread: 2048 inputs of 500 are measured as a whole.
MOST_MEASURED, LEAST_MEASURED = 1024 * 1024, 512


async def bound_inputs(
    model: ModelRef, inputs: Inputs, extra: JsonObject
) -> tuple[Bounds, PromptEstimate | None]:
    """The bounds with their estimate; a token has at least one byte, and lists of tokens are counted.

    A large request is measured in a thread.
    """
    sizes = [len(one.encode("utf-8", "replace")) if isinstance(one, str) else len(one) for one in inputs]
    added = len(encoded(extra)) + ADDED_TOKENS * len(sizes)
    fewest = _fewest(inputs, sizes, model.context_window)
    bounds = Bounds(prompt=sum(sizes) + added, output=0, least=max(1, fewest))
    texts = [one for one in inputs if isinstance(one, str)]
    if not texts:
        return replace(bounds, estimate=min(sum(sizes) + MARKS * len(sizes), bounds.prompt)), None
    if sum(sizes) <= CHUNK:
        tokens = _estimate(texts)
    else:
        tokens = await asyncio.get_running_loop().run_in_executor(_THREADS, _estimate, texts)
    estimate = PromptEstimate(model, tokens)
    return replace(bounds, estimate=min(estimate.tokens, bounds.prompt)), estimate


def _fewest(inputs: Inputs, sizes: Sequence[int], window: int) -> int:
    """The least that an honest provider counts: some cut inputs off at their window."""
    by_input = (
        size // LONGEST_TOKEN if isinstance(one, str) else size
        for one, size in zip(inputs, sizes, strict=True)
    )
    return sum(min(count, window) for count in by_input)


def _estimate(texts: Sequence[str]) -> int:
    """Each text is measured by its beginning if together they are too long."""
    each = max(LEAST_MEASURED, MOST_MEASURED // len(texts))
    return sum(_estimate_one(text, each) for text in texts)


def _estimate_one(text: str, most: int) -> int:
    measured = text[:most]
    return estimated_tokens(measured) * len(text) // max(1, len(measured)) + MARKS
