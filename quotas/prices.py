"""The cost of tokens: integers in millionths of a currency, never floats, rounded up."""

from dataclasses import dataclass

MILLION = 1_000_000
MOST_TOKENS = 10**9  # of one call; a larger reported count is capped


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """Who answered one model call: the model's slug, its provider, and the call's id."""

    model: str
    provider: str
    id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call and their exactness; cached is part of the input, reasoning of the output."""

    input_tokens: int
    output_tokens: int
    exactness: str = "exact"
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int | None = None  # millionths of the currency, after the settlement; None: no price is known
    flag: str = ""  # of UsageRecord.Flag
    calls: tuple[AnsweredCall, ...] = ()  # of a turn, in order

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def bounded(self) -> "Usage":
        """Without impossible counts: negative, absurd, or more cached than input."""
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
    """The price in force: millionths of the currency per million tokens of each kind."""

    input: int
    cached_input: int
    output: int
    reasoning: int

    def bound_of(self, prompt_bound: int, output_bound: int) -> int:
        """The most that a call within these bounds (tokens) can cost."""
        highest_input, highest_output = max(self.input, self.cached_input), max(self.output, self.reasoning)
        return -(-(prompt_bound * highest_input + output_bound * highest_output) // MILLION)
