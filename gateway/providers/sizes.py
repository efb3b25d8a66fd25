"""Bounds of a request and its reply, in tokens and bytes, measured on the body that is sent."""

import json
from dataclasses import replace
from typing import Any

from gateway.providers.anthropic_native import with_small_blocks
from gateway.providers.base import JsonObject, ModelRequest, Provider, count_images, is_image

# The most tokens that a provider counts for one image: OpenAI's gpt-4o-mini, 2833 + 8 tiles of 5667 each
# (https://platform.openai.com/docs/guides/images-vision#calculating-costs). Others stay far below: Qwen2-VL
# 16384, Claude under 5000, gpt-4o 1445.
IMAGE_BOUND = 48_169
# Replaces every image while a request is measured: tokens depend neither on its bytes nor on its URL.
ANY_IMAGE = "data:image/png;base64,AAAA"
# A reply is cut off beyond this many bytes per token of its bound, plus some more. English has 4 to 5 bytes
# per token, indented code up to 8; a reply of a few tokens may consist of long runs of one character.
BYTES_A_TOKEN = 16
BYTES_BEYOND = 8 * 1024
# A server that does not stream may send a whole document in one piece, which costs little to pass on.
FEW_PIECES = 16
BYTES_A_TOKEN_OF_FEW = 256
# Data sent with the text: pictures, sound, log probabilities.
MOST_EXTRA_BYTES = 8 * 1024 * 1024
# And beyond this many pieces: some servers send each letter separately.
PIECES_A_TOKEN = 8
PIECES_BEYOND = 1024
# On the wire each token has its own chunk, with ids and filter results around it.
WIRE_BYTES_A_TOKEN = 2 * 1024
WIRE_BYTES_BEYOND = 1024 * 1024
LONGEST_LINE = 8 * 1024 * 1024  # bytes
LARGEST_RESPONSE = 64 * 1024 * 1024  # bytes; a reply of 100,000 tokens streams as about 20 MB


def encoded(body: JsonObject) -> bytes:
    """As JSON; half a surrogate pair, which is invalid in UTF-8, becomes a question mark."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def byte_bound(provider: Provider, request: ModelRequest) -> int:
    """The most tokens that the whole request can be counted as: a token has at least one byte.

    Measured on the body that is sent, so no parameter can be forgotten. Each image is bounded by the most
    that any provider counts for one.
    """
    text, images = measured_body(provider, request)
    return len(text) + images * IMAGE_BOUND + provider.hidden_prompt(request)


def measured_body(provider: Provider, request: ModelRequest) -> tuple[bytes, int]:
    """The whole body as it is sent, but with each image replaced by a tiny one, and their number."""
    measured, images = _with_small_images(request)
    return encoded(provider.body(measured)), images


def bytes_beside_messages(provider: Provider, request: ModelRequest) -> int:
    """The bytes of everything except messages, model, output bound and temperature."""
    without_messages = replace(request, messages=[])
    bare = replace(without_messages, tools=[], extra={})
    return len(encoded(provider.body(without_messages))) - len(encoded(provider.body(bare)))


def text_bytes(value: Any) -> int:
    """The UTF-8 bytes of all texts in the messages' content, without image URLs."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, list):
        return sum(text_bytes(item) for item in value)
    if isinstance(value, dict) and not is_image(value):
        return sum(text_bytes(inner) for name, inner in value.items() if name in ("content", "text"))
    return 0


def most_streamed(output_bound: int) -> int:
    """The bytes of text, reasoning and tool calls beyond which a reply is cut off."""
    return output_bound * BYTES_A_TOKEN + BYTES_BEYOND


def most_in_few_pieces(output_bound: int) -> int:
    """The same for a reply of at most FEW_PIECES."""
    return output_bound * BYTES_A_TOKEN_OF_FEW + BYTES_BEYOND


def most_pieces(output_bound: int) -> int:
    """The pieces beyond which a reply is cut off."""
    return output_bound * PIECES_A_TOKEN + PIECES_BEYOND


def longest_line(output_bound: int) -> int:
    """The longest line of a response: a provider may send its whole reply in one, or a picture."""
    return min(2 * most_in_few_pieces(output_bound) + 64 * 1024, LONGEST_LINE)


def most_received(output_bound: int) -> int:
    """The most bytes of a whole response on the wire."""
    return min(output_bound * WIRE_BYTES_A_TOKEN + WIRE_BYTES_BEYOND, LARGEST_RESPONSE)


def _with_small_images(request: ModelRequest) -> tuple[ModelRequest, int]:
    """The request with each image replaced by a tiny one, and their number."""
    images = 0
    messages: list[JsonObject] = []
    for message in request.messages:
        images += count_images([message])
        lists = {name: message[name] for name in ("content", "images") if isinstance(message.get(name), list)}
        small = {name: [_small(part) for part in parts] for name, parts in lists.items()}
        messages.append(with_small_blocks({**message, **small}))
    return replace(request, messages=messages), images


def _small(part: Any) -> Any:
    if not is_image(part):
        return part
    image = part.get("image_url")
    return {**part, "image_url": {**image, "url": ANY_IMAGE} if isinstance(image, dict) else ANY_IMAGE}
