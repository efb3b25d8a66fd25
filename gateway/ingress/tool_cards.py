"""The tool calls of a finished reply, as the page shows them."""

import json
from typing import Any

SHOWN = 20_000  # characters of a result; the whole of it is in the API


def tool_cards(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A card a call, in order; call ids may repeat, so a result belongs to the latest call that has none."""
    cards: list[dict[str, Any]] = []
    for part in parts:
        if part["type"] == "tool_call":
            cards.append(
                {**part, "arguments": _text(part["arguments"]), "state": "error", "told": "No result"}
            )
        elif part["type"] == "tool_result":
            card = next(
                (c for c in reversed(cards) if c["call_id"] == part["call_id"] and "output" not in c), None
            )
            if card is not None:
                card |= _result(part)
    return cards


def _result(part: dict[str, Any]) -> dict[str, Any]:
    seconds = f"{part['duration_ms'] / 1000:.1f} s" if part.get("duration_ms") is not None else ""
    is_error = part["is_error"]
    return {
        "output": _text(part["output"]),
        "state": "error" if is_error else "done",
        "told": "Failed" if is_error else seconds,
    }


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
