"""The address of the MongoDB that docker-compose.yml starts for LibreChat, with its password."""

import re

from django.core.exceptions import ImproperlyConfigured

USER = "librechat"
UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")  # needs no escaping in a URL
STACKS_OWN = re.compile(
    r"mongodb://(?:librechat:[^@/]*@)?mongodb:27017/LibreChat(?:\?authSource=admin)?", re.ASCII
)
LINE = re.compile(r"^\s*(?:export\s+)?MONGO_URI\s*=\s*['\"]?(.*?)['\"]?\s*$", re.MULTILINE)


def stack_mongo_url(*, password: str, existing: str) -> str:
    """The value of MONGO_URI; empty without a password, or if `existing`, the .env, has another one."""
    if not password:
        return ""
    if not UNRESERVED.fullmatch(password):
        raise ImproperlyConfigured("MONGO_PASSWORD may have letters, digits and ._~- only.")
    found = LINE.search(existing)
    if found and found[1] and not STACKS_OWN.fullmatch(found[1]):
        return ""
    return f"mongodb://{USER}:{password}@mongodb:27017/LibreChat?authSource=admin"
