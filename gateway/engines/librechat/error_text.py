"""LibreChat's own error messages, safe to show: bounded, without secrets and network addresses."""

import json
import re
from typing import Any

from django.conf import settings

from gateway.providers.base import JsonObject
from gateway.providers.soundness import sound

LONGEST_WORDS = 300  # characters of an error's text
LONGEST_READ = 20_000  # of a response
LONGEST_SEARCHED = 2_000  # for secrets: the result is shorter
FIELDS = ("error", "message", "text")
HIDDEN = "…"
SECRETS = re.compile(
    r"""
      (?:bearer|basic)\s+\S+                                   # an Authorization header
    | \beyJ[\w-]{8,}(?:\.[\w-]*){0,2}                          # a JSON Web Token
    | \b(?:sk|pk|rk|key|token|secret|password)[-_=:]\S{3,}     # a key, by how it begins
    | \b[a-z][a-z0-9+.-]{0,20}://\S+                             # a URL, which may hold either
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b                     # an IPv4 address
    | \[[0-9a-f:.]*:[0-9a-f:.]*\](?::\d+)?                     # an IPv6 address
    | \b[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}:\d{2,5}\b             # host:port
    | \b[0-9a-f]{24,}\b                                        # an id or a key in hex
    | [A-Za-z0-9+/_=-]{40,}                                    # any other long key
    """,
    re.VERBOSE | re.IGNORECASE,
)
TRACE = re.compile(r"\n\s*at |\bTraceback\b|Troubleshooting URL")  # the rest is for LibreChat's developers


def plain_words(text: str, *, hidden: tuple[str, ...] = ()) -> str:
    """The text as one line of at most LONGEST_WORDS characters, without the secrets in `hidden`."""
    words = TRACE.split(sound(text[:LONGEST_READ]), maxsplit=1)[0]
    for secret in filter(None, (*hidden, *settings.EGRESS_SECRETS)):
        words = words.replace(secret, HIDDEN)
    words = " ".join(SECRETS.sub(HIDDEN, words[:LONGEST_SEARCHED]).split())
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 1] + HIDDEN


def words_of_answer(content_type: str, text: str) -> str:
    """The error message in a response: in JSON, an event stream with an `error`, or plain text; else empty.

    HTML pages are not from LibreChat itself.
    """
    text = text[:LONGEST_READ].strip()
    if text.startswith("<"):
        return ""
    if "\ndata:" in text or text.startswith("data:"):
        lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
        return next((words for line in reversed(lines) if (words := words_of(_parsed(line)))), "")
    data = _parsed(text)
    if data is not None:
        return words_of(data)
    return text if content_type.startswith("text/") and len(text) <= LONGEST_WORDS else ""


def words_of(data: Any) -> str:
    """The message in LibreChat's JSON: in one of FIELDS, in a list of `errors`, or in JSON within a text."""
    if isinstance(data, str):
        inner = _parsed(data)
        return (words_of(inner) or data) if inner is not None else data
    if not isinstance(data, dict):
        return ""
    said = [words for name in FIELDS if (words := words_of(data.get(name)))]
    listed = data.get("errors")
    said += [words_of(item) for item in listed[:3]] if isinstance(listed, list) else []
    kind = data.get("type")
    return ": ".join(dict.fromkeys(said)) or (kind if isinstance(kind, str) else "")


def _parsed(text: str) -> JsonObject | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
