"""The address of the MongoDB that docker-compose.yml starts for LibreChat, with its password."""

import re

from django.core.exceptions import ImproperlyConfigured

USER = "librechat"
PLAIN = re.compile(r"[A-Za-z0-9._~-]+")  # means the same in a URL
STACKS_OWN = re.compile(
    r"mongodb://(?:librechat:[^@/]*@)?mongodb:27017/LibreChat(?:\?authSource=admin)?", re.ASCII
)
LINE = re.compile(r"^\s*(?:export\s+)?MONGO_URI\s*=\s*['\"]?(.*?)['\"]?\s*$", re.MULTILINE)


def stack_mongo_url(*, password: str, existing: str) -> str:
    """What MONGO_URI is to be; empty without a password, or where `existing`, the .env, has another one."""
    if not password:
        return ""
    if not PLAIN.fullmatch(password):
        raise ImproperlyConfigured("MONGO_PASSWORD may have letters, digits and ._~- only.")
    found = LINE.search(existing)
    if found and found[1] and not STACKS_OWN.fullmatch(found[1]):
        return ""
    return f"mongodb://{USER}:{password}@mongodb:27017/LibreChat?authSource=admin"
