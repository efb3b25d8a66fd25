"""Estimates of a text's tokens compared with real tokenizers: the local model's and two of OpenAI's."""

import base64
import gettext
import importlib
import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import httpx
import pytest

from gateway.calls.token_count import Streamed
from gateway.calls.token_estimate import estimated_tokens
from gateway.turns.tests.test_local_model import model_url

__all__ = ["model_url"]  # a fixture
ROOT = Path(__file__).resolve().parents[3]
LOCALES = Path(django.__file__).parent / "contrib/admin/locale"
pytestmark = pytest.mark.slow
_dice = random.Random(1)
LATIN = ["de", "fr", "es", "it", "pt", "nl", "sv", "fi", "pl", "tr", "cs", "hu", "id", "vi"]
OTHERS = ["ru", "uk", "el", "ar", "fa", "he", "th", "ja", "zh_Hans", "zh_Hant", "ko", "hi", "hy", "ka"]
NUMBERS = [[_dice.randrange(10_000) for _ in range(8)] for _ in range(100)]
ROWS = {f"row {at}": {"values": row, "is_even": not at % 2} for at, row in enumerate(NUMBERS)}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a place, in degrees.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "The city and the country"}},
            "required": ["place"],
        },
    },
}


def translations(language: str) -> str:
    """The sentences of Django's admin in a language."""
    with (LOCALES / language / "LC_MESSAGES/django.mo").open("rb") as file:
        catalog: dict[Any, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return "\n".join(text for name, text in catalog.items() if name and len(text) > 20)


def of(characters: str, length: int = 3000) -> str:
    return "".join(_dice.choice(characters) for _ in range(length))


def words_of(characters: str) -> str:
    return " ".join(of(characters, _dice.randrange(2, 10)) for _ in range(500))


PROSE = {
    "English": (ROOT / "README.md").read_text()[:6000],
    "documentation": (ROOT / "docs/architecture.md").read_text()[:6000],
    "plain": "Please summarise this sentence for me. " * 250,
    **{name: translations(name) for name in LATIN},
}
SCRIPTS = {name: translations(name) for name in OTHERS}
CODE = {
    "Python": (ROOT / "gateway/calls/metered.py").read_text(),
    "SQL": (ROOT / "quotas/hold_states.py").read_text()[:6000],
    "HTML": (ROOT / "templates/usage/usage.html").read_text()[:4000],
    "Makefile": (ROOT / "Makefile").read_text(),
    "tools": json.dumps([TOOL] * 20),
    "tools, compact": json.dumps([TOOL] * 20, separators=(",", ":")),
    "JSON": json.dumps(ROWS),
    "JSON, compact": json.dumps(ROWS, separators=(",", ":")),
    "CSV": "\n".join(",".join(map(str, row)) for row in NUMBERS),
}
DENSE = {
    "JSON, indented": json.dumps(ROWS, indent=2),
    "hex": _dice.randbytes(2000).hex(),
    "hex of bytes": _dice.randbytes(1000).hex(" "),
    "HEX": _dice.randbytes(2000).hex().upper(),
    "ids": "\n".join(_dice.randbytes(16).hex() for _ in range(100)),
    "base64": base64.b64encode(_dice.randbytes(3000)).decode(),
    "base64 of prose": base64.b64encode(PROSE["English"].encode()).decode(),
    "base32": base64.b32encode(_dice.randbytes(2000)).decode(),
    "digits": of(string.digits),
    "letters": of(string.ascii_lowercase),
    "CAPITALS": of(string.ascii_uppercase),
    "MiXeD": of(string.ascii_letters),
    "letters and digits": of(string.ascii_letters + string.digits),
    "nonsense": words_of(string.ascii_lowercase),
    "Nonsense": words_of(string.ascii_letters),
    "genes": of("ACGT"),
    "signs": of("!@#$%^&*()[]{};:,.<>/?|"),
    "printable": of(string.printable[:95]),
    "Chinese": "这是一个中文的句子。北京是一个大城市，有很多人。" * 50,
    "Japanese": "これは日本語の文章です。東京は大きな都市で、多くの人が住んでいます。" * 50,
    "emoji": "😀🎉🚀👩‍👩‍👧" * 50,
    "any emoji": "".join(chr(_dice.randrange(0x1F300, 0x1F6FF)) for _ in range(500)),
    "accents": of("".join(map(chr, range(0xC0, 0x100)))) + PROSE["fr"] * 5,
    "control characters": of("".join(map(chr, range(32)))),
}
BLANK = {
    "blanks": " " * 3000,
    "line breaks": "\n" * 3000,
    "tabs": "\t" * 3000,
    "Windows": "\r\n" * 1500,
    "any blanks": of(" \n\t\r"),
    "indented": "".join("\n" + " " * _dice.randrange(40) + "x" for _ in range(300)),
}
TEXTS = PROSE | SCRIPTS | CODE | DENSE | BLANK
MOST = {**dict.fromkeys(PROSE | CODE, 1.5), **dict.fromkeys(SCRIPTS | DENSE, 1.7), **dict.fromkeys(BLANK, 40)}
Count = Callable[[str], int]


@pytest.fixture(scope="module")
def tokenizers(model_url: str) -> list[Count]:
    """Vocabularies of 49,000, 100,000 and 200,000 tokens."""
    vocabularies = importlib.import_module("bpe_openai")

    def local(text: str) -> int:
        answer: Any = httpx.post(f"{model_url}/tokenize", json={"content": text}, timeout=30).json()
        return len(answer["tokens"])

    def openai(name: str) -> Count:
        encoding = vocabularies.get_encoding(name)
        return lambda text: len(encoding.encode(text))

    return [local, openai("cl100k_base"), openai("o200k_base")]


@pytest.mark.parametrize("kind", TEXTS)
def test_an_estimate_is_at_least_what_real_tokenizers_count(kind: str, tokenizers: list[Count]) -> None:
    text = TEXTS[kind]
    counts = [count(text) for count in tokenizers]
    assert max(counts) <= estimated_tokens(text) <= MOST[kind] * max(counts)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("size", [8, 100])
def test_an_estimate_does_not_depend_on_the_size_of_pieces(
    kind: str, size: int, tokenizers: list[Count]
) -> None:
    text, seen = TEXTS[kind], Streamed()
    for at in range(0, len(text), size):
        seen.add_text(text[at : at + size])
    assert seen.tokens >= 0.98 * max(count(text) for count in tokenizers)
