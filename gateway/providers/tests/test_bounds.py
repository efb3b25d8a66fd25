"""The bound of a prompt that no tokenizer is at hand for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import IMAGE_BOUND, ModelRequest


def bound(*parts: Any) -> int:
    return ModelRequest(
        model="m", messages=[{"role": "user", "content": list(parts)}], max_tokens=1
    ).byte_bound


@given(st.text())
def test_a_text_is_bounded_by_its_bytes(text: str) -> None:
    request = ModelRequest(model="m", messages=[{"role": "user", "content": text}], max_tokens=1)
    assert request.byte_bound >= len(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("url", ["https://a/b.png", "data:image/png;base64," + "A" * 900_000])
def test_an_image_costs_the_same_however_it_is_sent(url: str) -> None:
    image = {"type": "image_url", "image_url": {"url": url}}
    assert bound(image, image) == bound() + 2 * IMAGE_BOUND


def test_what_is_no_image_counts_by_its_bytes() -> None:
    assert bound({"type": "text", "text": "x" * 1000}, "image_url", None) > 1000
