"""What a model call may cost at most, taken from all that is sent for it."""

from dataclasses import dataclass, replace

from gateway.errors import ContextTooLong
from gateway.providers.base import ModelRequest, Provider
from gateway.providers.sizes import (
    byte_bound,
    bytes_beside_messages,
    longest_line,
    most_pieces,
    most_streamed,
    text_bytes,
)
from quotas.calls import PlannedCall
from workspaces.language_models.queries import ModelRef

LONGEST_TOKEN = 128  # bytes: the longest in any known tokenizer is a run of 128 spaces


@dataclass(frozen=True, slots=True)
class Bounds:
    """In tokens: the most that prompt and output can come to, which is what is held.

    `counted` is the model's own tokenizer's count of the messages, where it is at hand; `least` is the
    fewest tokens that the prompt can be counted as. `estimate` is what the prompt probably comes to, where
    that has been estimated.
    """

    prompt: int
    output: int
    counted: int | None = None
    least: int = 1
    estimate: int | None = None

    @property
    def estimated_prompt(self) -> int:
        """What the prompt is charged if the provider's count never arrives; never more than what is held."""
        return self.prompt if self.estimate is None else min(self.estimate, self.prompt)

    @property
    def most(self) -> int:
        """The most that the call is charged unless the provider counts more, and can be right.

        It is more than what is held only where a provider ignores the output's bound: its reply is cut off
        after so many pieces, or so many bytes and a last line.
        """
        by_bytes = most_streamed(self.output) + longest_line(self.output)  # a token has at least one
        return self.prompt + max(most_pieces(self.output), by_bytes) + 1


async def bound_call(provider: Provider, request: ModelRequest, model: ModelRef) -> Bounds:
    """Bounds the whole request, as `model` is sent it: a token has at least one byte.

    Where the model's tokenizer is at hand, it counts the messages, and only the rest is bounded by its bytes.
    """
    asked = with_defaults(request, model)
    counted = await provider.count_prompt(asked)
    if counted is None:
        prompt = byte_bound(provider, asked)
    else:
        prompt = counted + bytes_beside_messages(provider, asked)
    least = max(1, text_bytes(asked.messages) // LONGEST_TOKEN)
    return Bounds(prompt=prompt, output=request.max_tokens, counted=counted, least=min(least, prompt))


def planned(model: ModelRef, bounds: Bounds) -> PlannedCall:
    """The call as quotas are asked for it."""
    return PlannedCall(
        model=model.slug,
        provider=model.provider,
        upstream_name=model.upstream_name,
        prompt_bound=bounds.prompt,
        output_bound=bounds.output,
        prompt_estimate=bounds.estimate,
    )


def with_defaults(request: ModelRequest, model: ModelRef) -> ModelRequest:
    """The request to this model: within its output bound, with the workspace's parameters for it."""
    kept = dict(model.parameters)
    temperature = kept.pop("temperature", None)
    return replace(
        request,
        model=model.upstream_name,
        max_tokens=min(request.max_tokens, model.output_bound),
        temperature=temperature if request.temperature is None else request.temperature,
        extra={**kept, **request.extra},
    )


def expect_fit(model: ModelRef, bounds: Bounds) -> Bounds:
    """The bounds, unless the model's tokenizer says that the call goes beyond its window: ContextTooLong."""
    if bounds.counted is not None and bounds.counted + bounds.output > model.context_window:
        needed = bounds.counted + bounds.output
        raise ContextTooLong(
            f"The message is too long for this model: it needs {needed:,} tokens with the reply, "
            f"the limit is {model.context_window:,}.",
            context_window=model.context_window,
            prompt_tokens=bounds.counted,
            output_tokens=bounds.output,
        )
    return bounds
