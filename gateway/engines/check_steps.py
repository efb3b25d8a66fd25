"""What a check of an engine tells, step by step."""

from dataclasses import dataclass

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an engine was asked to prove, in plain words; `mend` says what to do about it.

    `may_pass`: another part may still be starting, so it is worth another try.
    """

    name: str
    state: str
    text: str
    mend: str = ""
    may_pass: bool = False
