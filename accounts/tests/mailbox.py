"""Sent mails, as people read them."""

import re
from typing import Any

from django.core import mail


def mails_to(address: str) -> list[Any]:
    return [message for message in mail.outbox if message.to == [address]]


def everything_in(message: Any) -> str:
    """Subject, text and HTML."""
    html = "".join(str(part.content) for part in getattr(message, "alternatives", []))
    return f"{message.subject}\n{message.body}\n{html}"


def path_in(address: str, part: str) -> str:
    """The path of the newest link that was mailed to the address and has `part` in it."""
    for message in reversed(mails_to(address)):
        found = re.search(rf"https?://[^/\s]+(/\S*{part}\S*)", str(message.body))
        if found:
            return found[1]
    raise AssertionError(f"no link with {part} was mailed to {address}: {mail.outbox}")
