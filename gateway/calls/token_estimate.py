"""Estimates how many tokens a text has, if the model's own tokenizer is not available."""

import re
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from operator import add

from gateway.calls.token_costs import (
    CAPITAL,
    COMMON_HAN,
    COMMON_PAIR,
    COMMON_PAIRS,
    COMMON_WORDS,
    HAN,
    LETTER_BEYOND,
    LONG_WORD,
    RARE_PAIR,
    REPEATS_A_TOKEN,
    SCRIPTS,
    SPACES_A_TOKEN,
    STARTS,
    TOKEN,
    WORD,
)

BYTES_OF_PROSE = 4  # per token: the most that the average token of a text in any language has
CHUNK = 16 * 1024  # characters: one chunk takes 2 to 8 ms, then other threads can run
LONGEST_CACHED = 32  # letters

WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# A single space before a word or a symbol is part of its token. Any other space, or a run, is a token.
SPACES = re.compile(r"  +| (?![ -/:-~]|\Z)")
INDENTED_DIGIT = re.compile(r"  [0-9]")  # the last space is a token of its own
REPEATED_SYMBOLS = re.compile(r"([-=.*#_~/])\1{7,}")
JSON_SYMBOLS = re.compile(r'":"|","|":|,"|[{\[]"|"\]|\}\}|\},')  # each is one token
TOKEN_EACH = bytes(
    [*range(32), *range(33, 65), *range(91, 97), *range(123, 128)]
)  # neither letters nor spaces


def estimated_tokens(text: str) -> int:
    """The most tokens that a text has in any common vocabulary, rounded up; takes linear time."""
    return -(-estimated_hundredths(text) // TOKEN)


def estimated_hundredths(text: str) -> int:
    """The same in hundredths of a token, for adding up the estimates of pieces."""
    return sum(_of_chunk(text[at : at + CHUNK]) for at in range(0, len(text), CHUNK))


def _of_chunk(text: str) -> int:
    ascii_bytes = text.encode("ascii", "ignore")
    letters_and_spaces = len(ascii_bytes.translate(None, TOKEN_EACH))
    symbols = len(ascii_bytes) - letters_and_spaces
    symbols -= sum(len(found) - 1 for found in JSON_SYMBOLS.findall(text))
    symbols -= sum(_saved(found.group()) for found in REPEATED_SYMBOLS.finditer(text))
    symbols += sum(1 + len(spaces) // SPACES_A_TOKEN for spaces in SPACES.findall(text))
    symbols += len(INDENTED_DIGIT.findall(text))
    words = sum(_cost_of(word) * times for word, times in Counter(WORDS.findall(text)).items())
    cost = symbols * TOKEN + max(words, letters_and_spaces * TOKEN // BYTES_OF_PROSE)
    if len(ascii_bytes) < len(text):
        others = ((character, times) for character, times in Counter(text).items() if character > "\x7f")
        cost += sum(_of_character(character) * times for character, times in others)
    return cost


def _saved(symbols: str) -> int:
    return len(symbols) - -(-len(symbols) // REPEATS_A_TOKEN)


def _cost_of(word: str) -> int:
    return _of_short_word(word) if len(word) <= LONGEST_CACHED else _of_word(word)


@lru_cache(maxsize=8192)
def _of_short_word(word: str) -> int:
    return _of_word(word)


def _of_word(word: str) -> int:
    letters, size = word.lower(), len(word)
    if size == 1 or letters in COMMON_WORDS:
        return TOKEN
    if word.isupper():
        return max(TOKEN, CAPITAL * size)
    common = sum(map(COMMON_PAIRS.__contains__, map(add, letters, letters[1:])))
    cost = WORD + COMMON_PAIR * common + RARE_PAIR * (size - 1 - common)
    return min(cost + LETTER_BEYOND * max(0, size - LONG_WORD), TOKEN * size)


def _of_character(character: str) -> int:
    return COMMON_HAN if character in HAN else SCRIPTS[bisect_right(STARTS, ord(character)) - 1][1]
