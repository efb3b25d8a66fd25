"""Estimates how many tokens a text has, where the model's own tokenizer is not at hand."""

import re
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from operator import add

from gateway.calls.token_costs import (
    BLANKS_A_TOKEN,
    CAPITAL,
    COMMON_HAN,
    COMMON_PAIR,
    COMMON_PAIRS,
    COMMON_WORDS,
    HAN,
    LETTER_BEYOND,
    LONG_WORD,
    RARE_PAIR,
    SAME_SIGNS_A_TOKEN,
    SCRIPTS,
    STARTS,
    TOKEN,
    WORD,
)

BYTES_OF_PROSE = 4  # of a token: the most that the average token of a text in any language has
CHUNK = 16 * 1024  # characters: one takes 2 to 8 ms, then other threads may run
LONGEST_REMEMBERED = 32  # letters

WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# A single blank before a word or a sign belongs to it. Before anything else it is a token, as a run is.
BLANKS = re.compile(r"  +| (?![ -/:-~]|\Z)")
INDENTED_DIGIT = re.compile(r"  [0-9]")  # the last blank is a token of its own
SAME_SIGNS = re.compile(r"([-=.*#_~/])\1{7,}")
JSON_SIGNS = re.compile(r'":"|","|":|,"|[{\[]"|"\]|\}\}|\},')  # each is one token
TOKEN_EACH = bytes([*range(32), *range(33, 65), *range(91, 97), *range(123, 128)])  # no letter, no blank


def estimated_tokens(text: str) -> int:
    """The tokens that a text has at most in any common vocabulary, rounded up; linear in its length."""
    return -(-estimated_hundredths(text) // TOKEN)


def estimated_hundredths(text: str) -> int:
    """The same in hundredths of a token, for pieces of a text whose estimates are added up."""
    return sum(_of_chunk(text[at : at + CHUNK]) for at in range(0, len(text), CHUNK))


def _of_chunk(text: str) -> int:
    ascii_bytes = text.encode("ascii", "ignore")
    letters_and_blanks = len(ascii_bytes.translate(None, TOKEN_EACH))
    signs = len(ascii_bytes) - letters_and_blanks
    signs -= sum(len(found) - 1 for found in JSON_SIGNS.findall(text))
    signs -= sum(_saved(found.group()) for found in SAME_SIGNS.finditer(text))
    signs += sum(1 + len(blanks) // BLANKS_A_TOKEN for blanks in BLANKS.findall(text))
    signs += len(INDENTED_DIGIT.findall(text))
    words = sum(_cost_of(word) * times for word, times in Counter(WORDS.findall(text)).items())
    cost = signs * TOKEN + max(words, letters_and_blanks * TOKEN // BYTES_OF_PROSE)
    if len(ascii_bytes) < len(text):
        others = ((character, times) for character, times in Counter(text).items() if character > "\x7f")
        cost += sum(_of_character(character) * times for character, times in others)
    return cost


def _saved(signs: str) -> int:
    return len(signs) - -(-len(signs) // SAME_SIGNS_A_TOKEN)


def _cost_of(word: str) -> int:
    return _of_short_word(word) if len(word) <= LONGEST_REMEMBERED else _of_word(word)


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
