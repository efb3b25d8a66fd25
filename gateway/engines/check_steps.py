"""The steps of an engine check."""

from dataclasses import dataclass

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step, for people; `mend` says how to repair a failure.

    `may_pass`: another part may still be starting, so a retry is worthwhile.
    """

    name: str
    state: str
    text: str
    mend: str = ""
    may_pass: bool = False
