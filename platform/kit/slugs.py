"""Slugs, the names by which clients call things: one rule, and one message where a slug is wrong or taken.

A slug is taken while a row has it. Removing the row frees it, so what outlives a row refers to it by its id.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction

from kit.errors import Conflict, InvalidInput

LONGEST_SLUG = 60  # characters
PLAIN = r"[a-z0-9][a-z0-9_-]*"


@dataclass(frozen=True, slots=True)
class SlugRule:
    """What the slugs of one kind look like.

    Reserved first and last segments are those that routes of ours have before or after a slug.
    """

    pattern: re.Pattern[str] = re.compile(PLAIN)
    characters: str = "lowercase letters, digits, hyphens and underscores"
    reserved: frozenset[str] = frozenset()
    reserved_first: frozenset[str] = frozenset()
    reserved_last: frozenset[str] = frozenset()
    reserved_prefix: str = ""
    longest: int = LONGEST_SLUG

    def problem(self, slug: str) -> str:
        """What is wrong with the slug, for the person who chose it; empty if nothing is."""
        if len(slug) > self.longest or not self.pattern.fullmatch(slug):
            return f"Use up to {self.longest} {self.characters}, beginning with a letter or digit."
        if is_like_an_id(slug):
            return "This looks like an ID. Choose another name."
        return "This name is reserved. Choose another." if self._is_reserved(slug.lower()) else ""

    def check(self, slug: str) -> None:
        """InvalidInput for a slug that the rule does not allow."""
        if problem := self.problem(slug):
            raise InvalidInput(slug=[problem])

    def _is_reserved(self, slug: str) -> bool:
        first, *others = slug.split("/")
        return (
            slug in self.reserved
            or first in self.reserved_first
            or (bool(others) and others[-1] in self.reserved_last)
            or (bool(self.reserved_prefix) and slug.startswith(self.reserved_prefix))
        )


@contextmanager
def claim_slug(slug: str) -> Iterator[None]:
    """Around the INSERT of a row: Conflict if another has the slug already.

    The unique constraint decides, so that of two concurrent claims one fails.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as exc:
        raise Conflict(f"The name {slug} is taken. Choose another.", slug=slug) from exc


def is_like_an_id(slug: str) -> bool:
    """Whether a route that takes a slug or an id would read it as an id, with or without hyphens."""
    try:
        UUID(slug)
    except ValueError:
        return False
    return True
