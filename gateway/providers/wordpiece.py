"""BERT's uncased WordPiece tokenizer, as in `bert-base-uncased`.

Source: https://github.com/google-research/bert/blob/master/tokenization.py. The package `tokenizers` does the
same, but includes a model download client, which an installation does not need.
"""

import unicodedata
from collections.abc import Iterator, Mapping

LONGEST_WORD = 100  # characters; a longer one is unknown as a whole
SPACES = frozenset("\t\n\r ")
CONTROLS = ("Cc", "Cf", "Co", "Cs")
HAN = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class WordPiece:
    """Turns text into ids of `vocabulary`, between [CLS] and [SEP]."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self._ids = vocabulary
        self._unknown = vocabulary["[UNK]"]
        self._first, self._last = vocabulary["[CLS]"], vocabulary["[SEP]"]
        self._longest = max(map(len, vocabulary))

    def ids(self, text: str) -> list[int]:
        """Linear in the text's length."""
        pieces = [piece for word in _words(_normal(text)) for piece in self._pieces(word)]
        return [self._first, *pieces, self._last]

    def _pieces(self, word: str) -> list[int]:
        """The longest known pieces from left to right; unknown as a whole if one has no piece."""
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        found, at = [], 0
        while at < len(word):
            prefix = "##" if at else ""
            ends = range(min(len(word), at + self._longest), at, -1)
            end = next((end for end in ends if prefix + word[at:end] in self._ids), None)
            if end is None:
                return [self._unknown]
            found.append(self._ids[prefix + word[at:end]])
            at = end
        return found


def _normal(text: str) -> str:
    """Without control characters and accents, in lower case, with spaces around Han characters."""
    cleaned = "".join(map(_clean, text))
    plain = (c for c in unicodedata.normalize("NFD", cleaned) if unicodedata.category(c) != "Mn")
    return "".join(c.lower() for c in plain)  # each by itself: a sigma stays one at the end of a word


def _clean(character: str) -> str:
    if character in SPACES or unicodedata.category(character) == "Zs":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in CONTROLS:
        return ""
    return f" {character} " if _is_han(character) else character


def _is_han(character: str) -> bool:
    return character >= "\u3400" and any(low <= ord(character) <= high for low, high in HAN)


def _words(text: str) -> Iterator[str]:
    """Runs without white space; each punctuation character is a separate word."""
    for run in text.split():
        start = 0
        for at, character in enumerate(run):
            if _is_punctuation(character):
                if start < at:
                    yield run[start:at]
                yield character
                start = at + 1
        if start < len(run):
            yield run[start:]


def _is_punctuation(character: str) -> bool:
    """Every ASCII symbol counts, also those that Unicode does not call punctuation, such as `$`."""
    if character < "\x7f":
        return not character.isalnum()
    return unicodedata.category(character).startswith("P")
