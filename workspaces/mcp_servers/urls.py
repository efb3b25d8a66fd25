"""Addresses of servers, in which a key may stand: what is shown of one, and what is kept of it.

Many servers take their key in the query, some in the path. What may be one is hidden wherever an address is
shown, and the whole address is then kept encrypted.
"""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from kit.secrets import seal, unseal
from workspaces.mcp_servers.models import MCPServer

HIDDEN = "…"
LIKE_A_KEY = re.compile(r"(?=.*\d).{16,}")  # of a part of a path: long, and not of letters only
SHORTEST_SECRET = 6  # characters; what is shorter hides nothing, and would be found in every other text


def shown_url(url: str) -> str:
    """Without the values of its query, and without what looks like a key in its path; never longer."""
    parts = urlsplit(url)
    path = "/".join(HIDDEN if LIKE_A_KEY.fullmatch(step) else step for step in parts.path.split("/"))
    query = "&".join(name + HIDDEN if value else name for name, value in _pairs(parts.query))
    shown = SplitResult(parts.scheme, parts.netloc, path, query, "").geturl()
    return shown if HIDDEN in shown else url


def secrets_in(url: str) -> list[str]:
    """What `shown_url` hides, as it stands there and as it is meant."""
    parts = urlsplit(url)
    hidden = [step for step in parts.path.split("/") if LIKE_A_KEY.fullmatch(step)]
    hidden += [value for _, value in _pairs(parts.query)]
    found = {text for part in hidden for text in (part, unquote(part))}
    return sorted((text for text in found if len(text) >= SHORTEST_SECRET), key=len, reverse=True)


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names with their sign of equality, and values; of what has none all is value."""
    split = (pair.partition("=") for pair in query.split("&"))
    return [(name + sign, value) if sign else ("", name) for name, sign, value in split]


def kept_url(url: str) -> dict[str, Any]:
    """As an MCPServer's fields."""
    shown = shown_url(url)
    return {"url": shown, "sealed_url": seal(url) if HIDDEN in shown else ""}


def url_of(server: MCPServer) -> str:
    """The whole address. SecretUnreadable."""
    return unseal(server.sealed_url) if server.sealed_url else server.url
