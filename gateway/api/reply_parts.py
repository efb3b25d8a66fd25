"""The parts of a reply for the page: texts and tool calls in order."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from gateway.calls.tool_runs import REFUSED, UNANSWERED
from gateway.conversations.reply_extras import ReplyExtras, host_of
from gateway.engines.events import HISTORY_RESTORED
from kit.highlighter import Budget
from kit.markdown import render as render_markdown

SOURCES_SHOWN = 8
LONGEST_RESULT = 20_000  # characters; the API returns the whole
NO_RESULT = {"state": "error", "told": "No result"}
RUNNING = {"state": "running", "told": "Running…"}
UNRUN = {REFUSED: "Refused", UNANSWERED: "No answer in time"}  # results of calls that no one allowed


def reply_parts(
    parts: list[dict[str, Any]], text: str, *, is_running: bool, page: Budget | None = None
) -> list[dict[str, Any]]:
    """Texts as HTML with their segment numbers, and one card per call; `text` is a reply without calls.

    Call ids may repeat, so a result belongs to the latest call that has none. `page` is the time budget of
    all replies of a page.
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
            status = RUNNING if is_running else NO_RESULT
            cards.append({**part, **status, "arguments": _text(part["arguments"])})
            shown.append({"tool": cards[-1]})
        elif part["type"] == "tool_result":
            waiting = (c for c in reversed(cards) if c["call_id"] == part["call_id"] and "output" not in c)
            if (card := next(waiting, None)) is not None:
                card |= _result(part)
    _close(segments, shown, page)
    return shown


def lasting_notice(parts: list[dict[str, Any]]) -> str:
    """The notice about the whole reply, which stays visible; empty if there is none."""
    texts = [
        part["text"] for part in parts if part["type"] == "notice" and part.get("kind") == HISTORY_RESTORED
    ]
    return str(texts[-1]) if texts else ""


def shown_extras(extras: ReplyExtras, url_of_image: Callable[[UUID], str]) -> dict[str, Any] | None:
    """Images and sources for the template; remote images are links. None if the reply has neither."""
    if not extras:
        return None
    sources = [
        {"url": source["url"], "host": host_of(source["url"]), "title": source["title"]}
        for source in extras.sources[:SOURCES_SHOWN]
    ]
    return {
        "images": [
            {"url": url_of_image(image_id), "width": width, "height": height}
            for image_id, (width, height) in zip(extras.image_ids, extras.image_sizes, strict=True)
        ],
        "links": [{"url": url, "host": host_of(url)} for url in extras.image_urls],
        "sources": sources,
        "more": len(extras.sources) - len(sources),
        "lost": extras.lost_images,
    }


def _close(segments: list[str], shown: list[dict[str, Any]], page: Budget | None) -> None:
    """A text ends where a call begins; a blank one is dropped."""
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
    return text if len(text) <= LONGEST_RESULT else text[:LONGEST_RESULT] + "…"
