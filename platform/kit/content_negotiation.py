"""Reads the headers that describe a request's body and the response that it wants (RFC 9110, section 12)."""

from kit.errors import UnsupportedMediaType

STREAM, JSON = "text/event-stream", "application/json"
PLAIN = {"", "identity"}


def refuse_compressed(content_encoding: str) -> None:
    """UnsupportedMediaType for a compressed body: bodies are bounded by the bytes that arrive."""
    if content_encoding.strip().lower() not in PLAIN:
        raise UnsupportedMediaType("Compressed request bodies are not supported. Remove Content-Encoding.")


def prefers_stream(accept: str) -> bool:
    """Whether the Accept header names event streams, and does not prefer JSON.

    Without a preference, as in `application/json, text/event-stream`, it is a stream.
    """
    qualities = _qualities(accept)
    stream = qualities.get(STREAM, 0.0)
    json = next((qualities[kind] for kind in (JSON, "application/*", "*/*") if kind in qualities), 0.0)
    return stream > 0 and stream >= json


def _qualities(accept: str) -> dict[str, float]:
    """The weight of each media range; 1 for one without a weight or with an invalid one."""
    found: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        found[kind] = max(found.get(kind, 0.0), next(map(_weight, filter(_is_weight, parameters)), 1.0))
    return found


def _is_weight(parameter: str) -> bool:
    return parameter.partition("=")[0].strip() == "q"


def _weight(parameter: str) -> float:
    text = parameter.partition("=")[2].strip()
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0 <= weight <= 1 else 1.0
