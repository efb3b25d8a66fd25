"""The estimate of a reply's tokens against a real tokenizer: the local model's, whose vocabulary is small."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.egress.token_count import Streamed
from gateway.ingress.tests.test_local_model import model_url

__all__ = ["model_url"]  # a fixture
ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow
_dice = random.Random(1)
NUMBERS = [[_dice.randrange(10_000) for _ in range(8)] for _ in range(100)]
REPLIES = {
    "English": (ROOT / "README.md").read_text()[:6000],
    "documentation": (ROOT / "docs/architecture.md").read_text()[:6000],
    "Python": (ROOT / "gateway/egress/metered.py").read_text()[:6000],
    "HTML": (ROOT / "templates/usage/usage.html").read_text()[:4000],
    "JSON": json.dumps(
        {f"row {at}": {"values": row, "is_even": not at % 2} for at, row in enumerate(NUMBERS)}
    ),
    "CSV": "\n".join(",".join(map(str, row)) for row in NUMBERS),
    "hex": _dice.randbytes(2000).hex(),
    "ids": "\n".join(_dice.randbytes(16).hex() for _ in range(100)),
    "signs": "".join(_dice.choice("!@#$%^&*()[]{};:,.<>/?|") for _ in range(3000)),
    "Chinese": "这是一个中文的句子。北京是一个大城市，有很多人。" * 50,
    "Japanese": "これは日本語の文章です。東京は大きな都市で、多くの人が住んでいます。" * 50,
    "Russian": "Это русский текст, который содержит несколько предложений. " * 40,
    "emoji": "😀🎉🚀👩‍👩‍👧" * 50,
}
DENSE = {"base64": base64.b64encode(_dice.randbytes(3000)).decode()}  # words of nonsense have no tell


@pytest.mark.parametrize("kind", [*REPLIES, *DENSE])
def test_a_reply_without_a_count_is_charged_what_a_real_tokenizer_makes_of_it(
    kind: str, model_url: str
) -> None:
    text = (REPLIES | DENSE)[kind]
    answer: Any = httpx.post(f"{model_url}/tokenize", json={"content": text}, timeout=30).json()
    truth = len(answer["tokens"])
    for size in (8, 100, len(text)):  # however the provider cuts it
        seen = Streamed()
        for at in range(0, len(text), size):
            seen.add_text(text[at : at + size])
        assert seen.tokens >= truth * (0.7 if kind in DENSE else 0.88)
    assert seen.tokens <= truth * 2
