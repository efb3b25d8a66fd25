"""The most that a model call can cost, computed from the whole request."""

from dataclasses import dataclass, replace

from gateway.errors import ContextTooLong
from gateway.providers.base import ModelRequest, Provider, has_files
from gateway.providers.sizes import (
    byte_bound,
    bytes_beside_messages,
    longest_line,
    most_pieces,
    most_streamed,
    text_bytes,
)
from quotas.planned_calls import PlannedCall
from workspaces.language_models.queries import ModelRef

LONGEST_TOKEN = 128  # bytes: the longest in any known tokenizer is a run of 128 spaces


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most tokens that prompt and output can have: the amount that is held.

    `counted` is the count of the messages by the model's own tokenizer, if available; `least` is the fewest
    tokens that a provider can plausibly count; `estimate` is the prompt's probable size, if estimated.
    """

    prompt: int
    output: int
    counted: int | None = None
    least: int = 1
    estimate: int | None = None

    @property
    def estimated_prompt(self) -> int:
        """Charged for the prompt if the provider's count never arrives; never more than is held."""
        return self.prompt if self.estimate is None else min(self.estimate, self.prompt)

    @property
    def most(self) -> int:
        """The most that the call is charged, unless the provider plausibly counts more.

        It exceeds the hold only if a provider ignores the output bound: its reply is cut off after this many
        pieces, or this many bytes and a last line.
        """
        by_bytes = most_streamed(self.output) + longest_line(self.output)  # a token has at least one
        return self.prompt + max(most_pieces(self.output), by_bytes) + 1


async def bound_call(provider: Provider, request: ModelRequest, model: ModelRef) -> Bounds:
    """Bounds the whole request as it is sent to `model`: a token has at least one byte.

    If the model's tokenizer is available, it counts the messages, and only the rest is bounded by its bytes.
    """
    sent = with_defaults(request, model)
    counted = await provider.count_prompt(sent)
    if counted is None:
        prompt = byte_bound(provider, sent)
        if has_files(sent.messages):  # a small file may have many pages, but no prompt exceeds the window
            prompt = max(prompt, model.context_window)
    else:
        prompt = counted + bytes_beside_messages(provider, sent)
    least = max(1, text_bytes(sent.messages) // LONGEST_TOKEN)
    return Bounds(prompt=prompt, output=request.max_tokens, counted=counted, least=min(least, prompt))


def planned(model: ModelRef, bounds: Bounds) -> PlannedCall:
    """The call as quotas need it."""
    return PlannedCall(
        model=model.slug,
        model_id=model.id,
        provider=model.provider,
        upstream_name=model.upstream_name,
        prompt_bound=bounds.prompt,
        output_bound=bounds.output,
        prompt_estimate=bounds.estimate,
    )


def with_defaults(request: ModelRequest, model: ModelRef) -> ModelRequest:
    """The request to this model: within its output bound, with the workspace's parameters for it."""
    defaults = dict(model.parameters)
    temperature = defaults.pop("temperature", None)
    return replace(
        request,
        model=model.upstream_name,
        max_tokens=min(request.max_tokens, model.output_bound),
        temperature=temperature if request.temperature is None else request.temperature,
        extra={**defaults, **request.extra},
    )


def expect_fit(model: ModelRef, bounds: Bounds) -> Bounds:
    """The bounds; ContextTooLong if, by the tokenizer's count, the call does not fit the context window."""
    if bounds.counted is not None and bounds.counted + bounds.output > model.context_window:
        needed = bounds.counted + bounds.output
        raise ContextTooLong(
            f"The prompt is too long for this model: it needs {needed:,} tokens with the reply, "
            f"the limit is {model.context_window:,}.",
            context_window=model.context_window,
            prompt_tokens=bounds.counted,
            output_tokens=bounds.output,
        )
    return bounds
