"""The built-in embedding model's tokenizer counts as the package `tokenizers` does."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from gateway.providers.tests.embedding_model import needs_embedding_model
from gateway.providers.weights import EMBEDDING_VOCABULARY
from gateway.providers.wordpiece import WordPiece

pytestmark = needs_embedding_model
# Made with `tokenizers` 0.23.3 and the model's own tokenizer.json, without the marks around them.
TOKENIZED: dict[str, list[int]] = json.loads(Path(__file__).with_name("wordpiece_cases.json").read_text())


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    file = settings.MODELS_DIR / EMBEDDING_VOCABULARY.name
    vocabulary: dict[str, Any] = json.loads(file.read_text())["model"]["vocab"]
    return WordPiece(vocabulary)


def test_it_finds_the_same_tokens(tokenizer: WordPiece) -> None:
    assert {text: tokenizer.ids(text)[1:-1] for text in TOKENIZED} == TOKENIZED
    assert tokenizer.ids("") == [101, 102]


def test_marks_in_a_text_are_only_text(tokenizer: WordPiece) -> None:
    assert not {101, 102, 0} & set(tokenizer.ids("[CLS] [SEP] [PAD]")[1:-1])
