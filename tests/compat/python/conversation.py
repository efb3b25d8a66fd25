"""What the drivers say to the scripted models, and what these answer."""

import base64
import json
from typing import Any

from pydantic import BaseModel

MODEL, CLAUDE = "gpt-4.1", "claude-sonnet-4-6"
GREETING = "Hello there."
QUESTION = "What is the weather in Paris?"
WEATHER = "It is 21 degrees in Paris."
LONG_TEXT = "The quick brown fox jumps over the lazy dog. " * 600  # too long for the local model, too
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
ASKED: list[Any] = [{"role": "user", "content": QUESTION}]
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

# A PNG of one red pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PIXEL_URL = f"data:image/png;base64,{PIXEL}"
IMAGE_PARTS: list[Any] = [
    {"type": "text", "text": "How many?"},
    {"type": "image_url", "image_url": {"url": PIXEL_URL}},
]
ONE_IMAGE = "I see 1 image(s)."


class Report(BaseModel):
    """The weather in a city."""

    city: str
    degrees: int


REPORT = Report(city="Paris", degrees=21)


def order(*calls: tuple[str, dict[str, Any]]) -> str:
    """A prompt for which the scripted model calls the first of these tools that the client offers."""
    return "CALL:" + base64.b64encode(json.dumps(calls).encode()).decode()
