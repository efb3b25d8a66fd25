"""Bearer secrets, such as keys and links: created here, shown once, stored as a hash."""

import hmac
import re
import secrets
from hashlib import sha256

BYTES = 32
SLUG = re.compile(r"[a-z0-9-]{1,40}")


def make_secret() -> str:
    """256 random bits, URL-safe; too many to find by searching for a plain hash."""
    return secrets.token_urlsafe(BYTES)


def hash_of(secret: str) -> str:
    """SHA-256, 64 hex digits."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, stored_hash: str) -> bool:
    return hmac.compare_digest(hash_of(secret), stored_hash)


def split_token(token: str) -> tuple[str, str]:
    """Tenant slug and secret of a public token, `acme.<secret>`; ("", "") for anything else."""
    slug, dot, secret = token.partition(".")
    return (slug, secret) if dot and secret and SLUG.fullmatch(slug) else ("", "")
