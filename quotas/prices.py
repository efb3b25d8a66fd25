"""What tokens cost: integers of millionths of a currency, never a float, rounded up to a whole one."""

from dataclasses import dataclass

MILLION = 1_000_000
MOST_TOKENS = 10**9  # of one call: a provider that reports more is not believed beyond this


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, and how we know; cached are some of the input, reasoning of the output."""

    input_tokens: int
    output_tokens: int
    exactness: str = "exact"
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int | None = None  # millionths of the currency, once it is settled; None: no price is known
    flag: str = ""  # of UsageRecord.Flag

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def bounded(self) -> "Usage":
        """Without what cannot be: negative, absurd, more cached than read."""
        read, written = _bounded(self.input_tokens), _bounded(self.output_tokens)
        return Usage(
            read,
            written,
            self.exactness,
            cached_tokens=min(_bounded(self.cached_tokens), read),
            reasoning_tokens=min(_bounded(self.reasoning_tokens), written),
            flag=self.flag,
        )


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), MOST_TOKENS)


@dataclass(frozen=True, slots=True)
class Rates:
    """A price as it is in force: millionths of the currency for a million tokens of each kind."""

    input: int
    cached_input: int
    output: int
    reasoning: int

    def bound_of(self, prompt_bound: int, output_bound: int) -> int:
        """The most that a call within these bounds (tokens) can cost."""
        dearest_input, dearest_output = max(self.input, self.cached_input), max(self.output, self.reasoning)
        return -(-(prompt_bound * dearest_input + output_bound * dearest_output) // MILLION)
