"""The fields of Anthropic's Messages request that are checked here; a provider judges the rest.

Protocol: https://docs.anthropic.com/en/api/messages
"""

import re
from typing import Any, NoReturn

from gateway.providers.base import JsonObject
from kit.errors import InvalidInput

BETA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_BETAS = 32


def wrong(path: str, problem: str) -> NoReturn:
    """Raises InvalidInput for the field at `path`."""
    raise InvalidInput(**{path: [problem]})


def a_string(value: Any, path: str) -> str:
    return value if isinstance(value, str) else wrong(path, "Send a text.")


def an_object(value: Any, path: str) -> JsonObject:
    return value if isinstance(value, dict) else wrong(path, "Send an object.")


def a_list(value: Any, path: str) -> list[Any]:
    return value if isinstance(value, list) else wrong(path, "Send a list.")


def objects_of(value: Any, path: str) -> list[tuple[str, JsonObject]]:
    """Each object of a list with its path."""
    return [
        (f"{path}[{at}]", an_object(item, f"{path}[{at}]")) for at, item in enumerate(a_list(value, path))
    ]


def beta_headers(value: str) -> dict[str, str]:
    """The headers that go to Anthropic: the features that the client turns on. InvalidInput if malformed."""
    names = [name for name in (part.strip() for part in value.split(",")) if name]
    if len(names) > MOST_BETAS:
        wrong("anthropic-beta", f"Too many features: {len(names)}. Send at most {MOST_BETAS}.")
    if not all(BETA.fullmatch(name) for name in names):
        wrong("anthropic-beta", "Separate the names of features with commas.")
    return {"anthropic-beta": ",".join(names)} if names else {}
