"""The charge of a model call: the provider's count if it is plausible, else our own."""

from dataclasses import dataclass

from gateway.calls.bounds import Bounds
from gateway.calls.token_costs import TOKEN
from gateway.calls.token_estimate import BYTES_OF_PROSE, estimated_hundredths
from gateway.providers.base import JsonObject, UsageReport
from gateway.providers.sizes import BYTES_A_TOKEN
from gateway.providers.tool_calls import KINDS
from quotas.models import UsageRecord
from quotas.prices import Usage

Exactness, Flag = UsageRecord.Exactness, UsageRecord.Flag

# A provider's own instructions, search results and reasoning are counted on top of a call's bounds. An excess
# up to this many tokens is believed and flagged; more is a mistake, or a lie.
PLAUSIBLE_EXCESS = 100_000
FEW_BYTES = 1024  # of a reply that may consist of unusually long tokens
PIECES_OF_A_TOKEN = 2
CALL_TOKENS = 2  # of each tool call, in addition to its texts
# Characters of a piece that are measured, in up to 60 ms of the event loop; the rest is extrapolated.
MOST_MEASURED = 128 * 1024
TEXTS = ("name", "arguments", "input")  # of a tool call


@dataclass(slots=True)
class Streamed:
    """How much of a reply has arrived: pieces, bytes of UTF-8, and an estimate in hundredths of a token."""

    pieces: int = 0
    bytes: int = 0
    hundredths: int = 0
    extra_bytes: int = 0

    @property
    def tokens(self) -> int:
        """The estimate without a tokenizer: one per piece, as most providers stream, or more by content."""
        return max(self.pieces, -(-self.hundredths // TOKEN), -(-self.bytes // BYTES_OF_PROSE))

    @property
    def least(self) -> int:
        """The fewest tokens that an honest provider can count: some servers send a token in two pieces."""
        return max(-(-self.pieces // PIECES_OF_A_TOKEN), (self.bytes - FEW_BYTES) // BYTES_A_TOKEN)

    def add_text(self, text: str) -> None:
        self.pieces += 1
        self._add(text)

    def add_calls(self, calls: list[JsonObject]) -> None:
        self.pieces += 1
        for call in calls:
            self.hundredths += CALL_TOKENS * TOKEN
            self._add(call_text(call))

    def add_unread(self, size: int) -> None:
        self.pieces += 1
        self.bytes += size

    def add_extra(self, size: int) -> None:
        """Counts data sent with the text, such as a picture or log probabilities: bytes, not tokens."""
        self.extra_bytes += size

    def _add(self, text: str) -> None:
        self.bytes += len(text.encode("utf-8", "replace"))
        measured = text[:MOST_MEASURED]
        self.hundredths += estimated_hundredths(measured) * len(text) // max(1, len(measured))


def call_text(call: JsonObject) -> str:
    """The texts of a piece of a tool call."""
    bodies = [body for kind in KINDS if isinstance(body := call.get(kind), dict)]
    return "".join(str(body.get(name, "")) for body in bodies for name in TEXTS)


def is_plausible(report: UsageReport, bounds: Bounds, streamed: Streamed) -> bool:
    return can_be_input(report, bounds) and can_be_output(report, bounds, streamed.least)


def can_be_input(report: UsageReport, bounds: Bounds) -> bool:
    return bounds.least <= report.input_tokens <= bounds.prompt + PLAUSIBLE_EXCESS


def can_be_output(report: UsageReport, bounds: Bounds, seen: int) -> bool:
    return seen <= report.output_tokens <= max(bounds.output, seen) + PLAUSIBLE_EXCESS


def final_usage(report: UsageReport | None, bounds: Bounds, streamed: Streamed, counted: int | None) -> Usage:
    """The charge for a complete reply; `counted` is a tokenizer's count of the streamed output.

    An implausible count is replaced by ours and flagged: the prompt by its estimate, the output by what
    streamed, or by its bound if the provider claims more than that.
    """
    ours = streamed.tokens if counted is None else counted
    if report is None:
        return Usage(bounds.estimated_prompt, ours, Exactness.UNREPORTED)
    seen = streamed.least if counted is None else counted
    fits = can_be_input(report, bounds), can_be_output(report, bounds, seen)
    if all(fits):
        return _reported(report)
    read, cached = (report.input_tokens, report.cached_tokens) if fits[0] else (bounds.estimated_prompt, 0)
    written, reasoning = (report.output_tokens, report.reasoning_tokens) if fits[1] else (ours, 0)
    if not fits[1] and report.output_tokens > seen:
        written = max(ours, bounds.output)
    return Usage(
        read,
        written,
        Exactness.ESTIMATED,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
        flag=Flag.IMPLAUSIBLE,
    )


def partial_usage(
    report: UsageReport | None, bounds: Bounds, streamed: Streamed, counted: int | None, *, flag: str = ""
) -> Usage:
    """The charge for a reply that ended early: by the provider's report so far and the streamed output."""
    ours = streamed.tokens if counted is None else counted
    if report is None:
        return Usage(bounds.estimated_prompt, ours, Exactness.ESTIMATED, flag=flag)
    read, cached, reasoning = bounds.estimated_prompt, 0, 0
    if can_be_input(report, bounds):
        read, cached = report.input_tokens, report.cached_tokens
    else:
        flag = flag or Flag.IMPLAUSIBLE
    if can_be_output(report, bounds, 0) and report.output_tokens > ours:
        ours, reasoning = report.output_tokens, report.reasoning_tokens
    return Usage(read, ours, Exactness.ESTIMATED, cached_tokens=cached, reasoning_tokens=reasoning, flag=flag)


def _reported(report: UsageReport) -> Usage:
    return Usage(
        report.input_tokens,
        report.output_tokens,
        cached_tokens=report.cached_tokens,
        reasoning_tokens=report.reasoning_tokens,
    )
