"""What a reply is made of, as the page shows it: texts and tool calls in the order in which they came."""

import json
from typing import Any

from gateway.calls.tool_runs import REFUSED, UNANSWERED
from gateway.engines.base import HISTORY_RESTORED
from kit.highlighting import Budget
from kit.markdown import render as render_markdown

SHOWN = 20_000  # characters of a result; the whole of it is in the API
UNTOLD = {"state": "error", "told": "No result"}
RUNNING = {"state": "running", "told": "Running…"}
UNRUN = {REFUSED: "Refused", UNANSWERED: "No answer in time"}  # results of calls that no one allowed


def reply_parts(
    parts: list[dict[str, Any]], text: str, *, is_running: bool, page: Budget | None = None
) -> list[dict[str, Any]]:
    """Texts as HTML, with their segments' numbers, and a card a call; `text` is a reply without calls.

    Call ids may repeat, so a result belongs to the latest call that has none. `page` is what all replies of a
    page may take together.
    """
    if not any(part["type"] == "tool_call" for part in parts):
        return [{"segment": 0, "html": render_markdown(text, page)}] if text.strip() else []
    segments = [""]
    cards: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for part in parts:
        if part["type"] == "text":
            segments[-1] += part["text"]
        elif part["type"] == "tool_call":
            _close(segments, shown, page)
            told = RUNNING if is_running else UNTOLD
            cards.append({**part, **told, "arguments": _text(part["arguments"])})
            shown.append({"tool": cards[-1]})
        elif part["type"] == "tool_result":
            waiting = (c for c in reversed(cards) if c["call_id"] == part["call_id"] and "output" not in c)
            if (card := next(waiting, None)) is not None:
                card |= _result(part)
    _close(segments, shown, page)
    return shown


def lasting_notice(parts: list[dict[str, Any]]) -> str:
    """The notice that concerns the whole reply and is shown for good; empty where there is none."""
    kept = [
        part["text"] for part in parts if part["type"] == "notice" and part.get("kind") == HISTORY_RESTORED
    ]
    return str(kept[-1]) if kept else ""


def _close(segments: list[str], shown: list[dict[str, Any]], page: Budget | None) -> None:
    """A text ends where a call begins; one that says nothing is none."""
    if segments[-1].strip():
        shown.append({"segment": len(segments) - 1, "html": render_markdown(segments[-1], page)})
        segments.append("")


def _result(part: dict[str, Any]) -> dict[str, Any]:
    seconds = f"{part['duration_ms'] / 1000:.1f} s" if part.get("duration_ms") is not None else "Done"
    is_error = part["is_error"]
    output = _text(part["output"])
    return {
        "output": output,
        "state": "error" if is_error else "done",
        "told": UNRUN.get(output, "Failed") if is_error else seconds,
    }


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
