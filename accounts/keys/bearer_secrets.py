"""Secrets that open something to whoever bears them: made here, shown once, kept as a hash."""

import hmac
import re
import secrets
from hashlib import sha256

BYTES = 32
PLAIN = re.compile(r"[a-z0-9-]{1,40}")  # as a tenant's slug is written


def make_secret() -> str:
    """256 random bits, safe in an address; so many that a plain hash of them cannot be searched."""
    return secrets.token_urlsafe(BYTES)


def hash_of(secret: str) -> str:
    """SHA-256, 64 hex digits."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, stored_hash: str) -> bool:
    return hmac.compare_digest(hash_of(secret), stored_hash)


def split_token(token: str) -> tuple[str, str]:
    """A public token names its tenant in clear, `acme.<secret>`; ("", "") for what is none."""
    slug, dot, secret = token.partition(".")
    return (slug, secret) if dot and secret and PLAIN.fullmatch(slug) else ("", "")
