"""The slugs of teams and workspaces: never reserved, never used twice."""

import re
from collections.abc import Callable, Iterator

from django.utils.text import slugify

from kit.errors import Conflict
from kit.slugs import SlugRule

LONGEST = 40
# Would read as a part of the product in a URL, or as one of PostgreSQL's own schemas.
RESERVED = frozenset(
    [
        "about",
        "account",
        "accounts",
        "admin",
        "api",
        "app",
        "auth",
        "billing",
        "blog",
        "config",
        "docs",
        "egress",
        "gateway",
        "health",
        "healthz",
        "help",
        "information-schema",
        "login",
        "logout",
        "mail",
        "new",
        "null",
        "null-tenant",
        "operator",
        "pg-catalog",
        "platform",
        "public",
        "readyz",
        "root",
        "schema",
        "security",
        "settings",
        "signup",
        "static",
        "status",
        "styleguide",
        "support",
        "switchyard",
        "system",
        "t",
        "tenant",
        "tenants",
        "tenant-template",
        "undefined",
        "v1",
        "w",
        "workspace",
        "workspaces",
        "ws",
        "www",
    ]
)


CHOSEN = SlugRule(
    pattern=re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{LONGEST - 2}}}[a-z0-9])?"),
    characters="lowercase letters, digits and hyphens",
    reserved=RESERVED,
    longest=LONGEST,
)


def candidates(name: str, *, fallback: str) -> Iterator[str]:
    """`acme`, `acme-2`, `acme-3` …, each a valid slug."""
    base = slugify(name)[:LONGEST].strip("-_").replace("_", "-") or fallback
    if base not in RESERVED:
        yield base
    for number in range(2, 10_000):
        suffix = f"-{number}"
        yield base[: LONGEST - len(suffix)].rstrip("-") + suffix


def free_slug(name: str, *, fallback: str, taken: Callable[[str], bool]) -> str:
    """The first candidate that `taken` denies; the unique constraint settles a race."""
    for slug in candidates(name, fallback=fallback):
        if not taken(slug):
            return slug
    raise Conflict("Too many teams or workspaces have this name. Choose another.")


def chosen_slug(slug: str, *, taken: Callable[[str], bool]) -> str:
    """The slug that a person chose. InvalidInput if the rule does not allow it, Conflict if it is taken."""
    CHOSEN.check(slug)
    if taken(slug):
        raise Conflict(f"The name {slug} is taken. Choose another.", slug=slug)
    return slug
