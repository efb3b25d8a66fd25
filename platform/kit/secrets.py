"""Seals what must be secret at rest: API keys, engine passwords; only code that is about to use one opens it.

A sealed text is Fernet's token (https://github.com/fernet/spec). The first key seals, every key opens: keys
are rotated by putting a new one in front and sealing anew (`manage.py reseal_secrets`).
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from kit.errors import SecretUnreadable

__all__ = ["SecretUnreadable", "reseal", "seal", "seal_bytes", "unseal", "unseal_bytes"]


def seal(text: str) -> str:
    """The text encrypted and authenticated under the newest key."""
    return seal_bytes(text.encode())


def unseal(sealed: str) -> str:
    """The text again. SecretUnreadable when no key fits."""
    return unseal_bytes(sealed).decode()


def seal_bytes(data: bytes) -> str:
    """The same of what is no text: `reseal` takes it too."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(data).decode()


def unseal_bytes(sealed: str) -> bytes:
    """The bytes again. SecretUnreadable when no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(sealed.encode())
    except InvalidToken as exc:
        raise SecretUnreadable from exc


def reseal(sealed: str) -> str:
    """The same secret under the newest key."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).rotate(sealed.encode()).decode()
    except InvalidToken as exc:
        raise SecretUnreadable from exc


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    """A Fernet key from a long random text, apart from whatever else that text may be used for."""
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"switchyard secrets at rest")
    return base64.urlsafe_b64encode(derivation.derive(key.encode()))
