"""The ids of responses and items: each holds the id of its turn, by which a stored one is found."""

import re
from uuid import UUID

ITEM = re.compile(r"[a-z]{2,8}_([0-9a-f]{32})_(i?)(\d{1,6})")
RESPONSE = re.compile(r"resp_([0-9a-f]{32})")


def response_id(turn_id: UUID) -> str:
    return f"resp_{turn_id.hex}"


def turn_of_response(text: str) -> UUID | None:
    """None if it is not a response's id."""
    found = RESPONSE.fullmatch(text)
    return UUID(found[1]) if found else None


def item_id(prefix: str, turn_id: UUID, number: int, *, is_input: bool = False) -> str:
    """Of the response's output item, or input item, with this number."""
    return f"{prefix}_{turn_id.hex}_{'i' if is_input else ''}{number}"


def turn_of_item(text: str) -> UUID | None:
    """None if it is not an item of ours."""
    found = ITEM.fullmatch(text)
    return UUID(found[1]) if found else None
