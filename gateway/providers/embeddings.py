"""Embeddings in OpenAI's format: the request to a provider, and a tolerant reading of its answer.

Protocol: https://platform.openai.com/docs/api-reference/embeddings
"""

import asyncio
import json
import math
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.base import JsonObject, UsageReport
from gateway.providers.garbled import an_object, garbled, objects, reported_count
from gateway.providers.json_pieces import parse_in_pieces
from gateway.providers.refusals import refusal
from gateway.providers.sizes import LARGEST_RESPONSE, encoded

REFUSED = {400, 422}
BASE64 = "base64"
# For one vector on the wire (8192 numbers of 25 characters), and for everything around the vectors.
VECTOR_BYTES, BYTES_BEYOND = 200 * 1024, 1024 * 1024
# Base64 of little-endian 32-bit floats as the provider sent it, or numbers.
Vector: TypeAlias = "str | array[float]"
Inputs = Sequence[str] | Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """One call. `inputs` are texts or lists of tokens; `extra` is passed on as the client sent it."""

    model: str
    inputs: Inputs = field(repr=False)
    encoding_format: str = ""  # float, base64; empty: the provider chooses
    extra: JsonObject = field(default_factory=dict)

    def body(self) -> JsonObject:
        wanted = {"encoding_format": self.encoding_format} if self.encoding_format else {}
        return {**self.extra, **wanted, "model": self.model, "input": list(self.inputs)}

    @property
    def most_received(self) -> int:
        return min(len(self.inputs) * VECTOR_BYTES + BYTES_BEYOND, LARGEST_RESPONSE)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A vector per input, in the order of the inputs; `usage` None: the provider reported no count."""

    vectors: list[Vector] = field(repr=False)
    usage: UsageReport | None


class Asked(Protocol):
    """A provider that answers a request as a whole (`ResilientProvider.ask`)."""

    name: str

    async def ask(self, path: str, body: JsonObject, *, most_bytes: int) -> bytes: ...


async def embed(provider: Asked, request: EmbeddingRequest) -> Embeddings:
    """ProviderError (also for a wrong number of vectors), ContextTooLong, AtCapacity, as in chats.

    If a compatible server refuses the request, it is sent again without `encoding_format`, which client
    libraries add and some servers do not know: we convert either format anyway.
    """
    try:
        return await _embed(provider, request, request.body())
    except ProviderError as exc:
        is_theirs = provider.name == "compatible" and exc.details["provider_status"] in REFUSED
        if not (is_theirs and request.encoding_format) or isinstance(exc, ContextTooLong):
            raise
    bare = {name: value for name, value in request.body().items() if name != "encoding_format"}
    return await _embed(provider, request, bare)


async def _embed(provider: Asked, request: EmbeddingRequest, body: JsonObject) -> Embeddings:
    received = await provider.ask("/embeddings", body, most_bytes=request.most_received)
    return await read_embeddings(received, provider=provider.name, request=request)


async def read_embeddings(received: bytes, *, provider: str, request: EmbeddingRequest) -> Embeddings:
    """ProviderError for an answer without exactly one usable vector per input, and for an error inside it."""
    try:
        rest, items = await parse_in_pieces(received.decode("utf-8", "replace"), listed="data")
    except (ValueError, RecursionError) as exc:
        raise garbled(provider) from exc
    if error := rest.get("error"):
        raise error_in_answer(error, provider)
    vectors, keeps_base64 = [], request.encoding_format == BASE64
    for item in _in_order(objects(items)):
        vectors.append(_vector(item, provider, keeps_base64=keeps_base64))
        await asyncio.sleep(0)
    if len(vectors) != len(request.inputs):
        text = f"The provider returned {len(vectors)} embeddings for {len(request.inputs)} inputs."
        raise ProviderError(text, provider=provider, provider_status=200)
    return Embeddings(vectors, usage_of(an_object(rest.get("usage"))))


def parsed_answer(received: bytes, provider: str) -> JsonObject:
    """A whole answer, small enough to be parsed in one piece. ProviderError if it is not a JSON object."""
    try:
        answer = json.loads(received.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as exc:
        raise garbled(provider) from exc
    if not isinstance(answer, dict):
        raise garbled(provider)
    return answer


def error_in_answer(error: Any, provider: str) -> Exception:
    """An error inside a 200; OpenRouter and llama.cpp send a status as its `code`."""
    code = an_object(error).get("code")
    if type(code) is int and 400 <= code < 600:
        return refusal(provider=provider, status=code, body=encoded({"error": error}))
    return ProviderError(provider=provider, provider_status=200)


def usage_of(usage: JsonObject) -> UsageReport | None:
    """Voyage reports only `total_tokens`; negative if it is not a count."""
    counts = [reported_count(usage.get(name)) for name in ("prompt_tokens", "total_tokens")]
    known = [count for count in counts if count is not None]
    return UsageReport(max(known), 0) if known else None


def _in_order(items: list[JsonObject]) -> list[JsonObject]:
    """Ordered by index if the indexes are distinct, otherwise in the order received."""
    indexes = [_index(item.get("index")) for item in items]
    if None in indexes or len(set(indexes)) < len(items):
        return items
    return [item for _, item in sorted(zip(indexes, items, strict=True), key=lambda pair: pair[0] or 0)]


def _index(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _vector(item: JsonObject, provider: str, *, keeps_base64: bool) -> Vector:
    """ProviderError for anything but finite numbers, or base64 of them."""
    value = item.get("embedding")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # llama.cpp's older servers nest it
    try:
        if isinstance(value, str):
            numbers = _decoded(value)
            if keeps_base64:
                return value
        else:
            numbers = array("d", value if isinstance(value, list) else [])
    except (TypeError, ValueError, OverflowError) as exc:
        raise garbled(provider) from exc
    if not numbers or not all(map(math.isfinite, numbers)):
        raise garbled(provider)
    return numbers


def _decoded(text: str) -> "array[float]":
    """The 32-bit floats in base64. ValueError."""
    numbers = array("f")
    numbers.frombytes(b64decode(text, validate=True))
    return array("d", _little(numbers))


def as_base64(vector: Vector) -> str:
    """Of little-endian 32-bit floats, as OpenAI sends them."""
    return vector if isinstance(vector, str) else b64encode(_little(array("f", vector)).tobytes()).decode()


def as_floats(vector: Vector) -> list[float]:
    """ValueError for base64, which `embed` returns only if it was asked for."""
    return (_decoded(vector) if isinstance(vector, str) else vector).tolist()


def _little(numbers: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
