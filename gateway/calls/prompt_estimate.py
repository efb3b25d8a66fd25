"""Estimates a whole prompt's tokens, for calls whose provider never reports its own count."""

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from gateway.calls.bounds import Bounds
from gateway.calls.learned_ratios import learned_ratios
from gateway.calls.token_estimate import BYTES_OF_PROSE, CHUNK, estimated_tokens
from gateway.providers.base import ModelRequest, Provider
from gateway.providers.sizes import IMAGE_BOUND, measured_body
from workspaces.language_models.queries import ModelRef

_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="estimates")
# Decoded as the provider does: these escapes belong to JSON, not to the prompt.
ESCAPES = (("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ('\\"', '"'), ("\\\\", "\\"))


@dataclass(frozen=True, slots=True)
class PromptEstimate:
    """One call's prompt: the tokens of its text and the provider's hidden instructions, and its images."""

    model: ModelRef
    text: int
    images: int = 0

    @property
    def tokens(self) -> int:
        """The text, scaled up by the model's recent counts, plus the bound of each image."""
        ratio = learned_ratios().ratio_of(self.model)
        return math.ceil(self.text * ratio) + self.images * IMAGE_BOUND

    def learn(self, counted: int) -> None:
        """Learns from the provider's exact count, except for images: only their bound is known."""
        if not self.images:
            learned_ratios().learn(self.model, counted=counted, estimated=self.text)


async def estimate_prompt(
    provider: Provider, request: ModelRequest, model: ModelRef, bounds: Bounds
) -> tuple[Bounds, PromptEstimate | None]:
    """The bounds with the prompt estimate; unchanged if the model's tokenizer has counted the prompt.

    A large request takes 15 to 50 ms of processor time for each 100 kB, and is measured in a thread.
    """
    if bounds.counted is not None:
        return bounds, None
    if bounds.prompt <= CHUNK:
        text, images = _measure(provider, request)
    else:
        loop = asyncio.get_running_loop()
        text, images = await loop.run_in_executor(_THREADS, _measure, provider, request)
    estimate = PromptEstimate(model, text, images)
    return replace(bounds, estimate=min(estimate.tokens, bounds.prompt)), estimate


def _measure(provider: Provider, request: ModelRequest) -> tuple[int, int]:
    """The tokens of the request's text with the hidden instructions, and the number of its images."""
    body, images = measured_body(provider, request)
    text = body.decode()
    for escaped, character in ESCAPES:
        text = text.replace(escaped, character)
    tokens = max(estimated_tokens(text), -(-len(body) // BYTES_OF_PROSE))
    return tokens + provider.hidden_prompt(request), images
