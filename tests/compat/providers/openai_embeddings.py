"""A scripted embedding model behind OpenAI's embeddings.

Protocol: https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
import struct
from typing import Any

from tests.compat.providers.http import JsonObject
from tests.compat.providers.openai_requests import error
from tests.compat.providers.script import tokens_in

PARAMETERS = {"dimensions", "encoding_format", "input", "model", "user"}
DIMENSIONS = 8


def answer(body: JsonObject) -> JsonObject:
    """Raises Refused as OpenAI does."""
    for name in body:
        if name not in PARAMETERS:
            raise error(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    wanted = body.get("encoding_format", "float")
    if wanted not in {"float", "base64"}:
        raise error(
            400, "Invalid value for 'encoding_format'.", param="encoding_format", code="invalid_value"
        )
    items = _items(body.get("input"))
    dimensions = body.get("dimensions") or DIMENSIONS
    vectors = [_vector(item, dimensions) for item in items]
    count = sum(len(item) if isinstance(item, list) else tokens_in(item) for item in items)
    rows = [
        {"object": "embedding", "index": at, "embedding": _base64(v) if wanted == "base64" else v}
        for at, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": rows, "model": body["model"], "usage": usage}


def _items(given: Any) -> list[Any]:
    """Texts, or lists of token ids."""
    items = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    if not all(isinstance(item, (str, list)) and item for item in items):
        raise error(400, "'$.input' is invalid.", param="input", code="invalid_value")
    return items


def _vector(item: Any, dimensions: int) -> list[float]:
    """Starts with the item's length, so that a test can see the order."""
    return [float(len(item)), *([0.5] * (dimensions - 1))]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
