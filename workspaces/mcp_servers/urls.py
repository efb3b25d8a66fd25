"""Server URLs that may contain a key: the part that is shown, and the columns that store them.

Many servers take their key in the query, some in the path. Everything that may be a key is hidden wherever a
URL is shown; the whole URL is then stored encrypted.
"""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from kit.secrets import seal, unseal
from workspaces.mcp_servers.models import MCPServer

HIDDEN = "…"
LIKE_A_KEY = re.compile(r"(?=.*\d).{16,}")  # a path segment that is long and not only letters
SHORTEST_SECRET = 6  # characters; anything shorter occurs by chance in other texts


def shown_url(url: str) -> str:
    """Without its query's values and without path segments that look like a key; never longer."""
    parts = urlsplit(url)
    path = "/".join(HIDDEN if LIKE_A_KEY.fullmatch(part) else part for part in parts.path.split("/"))
    query = "&".join(name + HIDDEN if value else name for name, value in _pairs(parts.query))
    shown = SplitResult(parts.scheme, parts.netloc, path, query, "").geturl()
    return shown if HIDDEN in shown else url


def secrets_in(url: str) -> list[str]:
    """The parts that `shown_url` hides, both as written and percent-decoded."""
    parts = urlsplit(url)
    hidden = [part for part in parts.path.split("/") if LIKE_A_KEY.fullmatch(part)]
    hidden += [value for _, value in _pairs(parts.query)]
    found = {text for part in hidden for text in (part, unquote(part))}
    return sorted((text for text in found if len(text) >= SHORTEST_SECRET), key=len, reverse=True)


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names with their `=`, and values; a parameter without `=` counts as a value."""
    split = (pair.partition("=") for pair in query.split("&"))
    return [(name + sign, value) if sign else ("", name) for name, sign, value in split]


def url_columns(url: str) -> dict[str, Any]:
    """The URL as columns of an MCPServer."""
    shown = shown_url(url)
    return {"url": shown, "sealed_url": seal(url) if HIDDEN in shown else ""}


def url_of(server: MCPServer) -> str:
    """The whole URL. SecretUnreadable."""
    return unseal(server.sealed_url) if server.sealed_url else server.url
