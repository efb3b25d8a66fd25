"""Makes slugs from names: never reserved, never used twice."""

from collections.abc import Callable, Iterator

from django.utils.text import slugify

from kit.errors import Conflict

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
    raise Conflict("Too many share this name; choose another.")
