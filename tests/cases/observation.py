"""What a client received in the end, in the terms of chat completions for every protocol."""

from dataclasses import dataclass, field
from typing import Any

from tests.cases.comparison import compact
from tests.cases.http_answers import Answer


@dataclass
class Call:
    """A tool call; `arguments` is the text as sent, or an object in the native protocol."""

    id: str = ""
    name: str = ""
    arguments: Any = ""


@dataclass(frozen=True)
class ErrorSeen:
    """`status` is None for an error within an answer of status 200; `raw` is the whole error as JSON."""

    status: int | None
    message: str = ""
    code: Any = None
    type: Any = None
    param: Any = None
    details: dict[str, Any] = field(default_factory=dict)
    raw: str = ""


@dataclass
class Observed:
    """`faults` are violations of the protocol; `parsed` is every JSON object that arrived."""

    answer: Answer
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    model: str | None = None
    calls: list[Call] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    cost: Any = None
    error: ErrorSeen | None = None
    is_complete: bool = False
    first_word: float | None = None
    parsed: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note_word(self, at: float) -> None:
        if self.first_word is None:
            self.first_word = at

    @property
    def everything(self) -> str:
        return compact(self.parsed) + (self.error.raw if self.error else "")


def error_of(body: Any, status: int | None = None) -> ErrorSeen:
    """From `{"error": {…}}`, else from the whole body."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {"message": compact(body)[:200]}
    details = error.get("details")
    return ErrorSeen(
        status=status,
        message=str(error.get("message") or ""),
        code=error.get("code"),
        type=error.get("type"),
        param=error.get("param"),
        details=details if isinstance(details, dict) else {},
        raw=compact(error),
    )


def text_of(content: Any) -> str:
    """The text of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text") or "" for part in content or [] if isinstance(part, dict))
