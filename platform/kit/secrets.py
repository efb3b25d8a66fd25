"""Encrypts secrets at rest, such as API keys and engine passwords; only code about to use one decrypts it.

A sealed text is a Fernet token (https://github.com/fernet/spec). The first key encrypts, every key decrypts.
To rotate keys, put a new one in front and run `manage.py reseal_secrets`.
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
    """Encrypts and authenticates the text with the newest key."""
    return seal_bytes(text.encode())


def unseal(sealed: str) -> str:
    """Decrypts a text. Raises SecretUnreadable if no key fits."""
    return unseal_bytes(sealed).decode()


def seal_bytes(data: bytes) -> str:
    """The same for binary data; `reseal` accepts the result too."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(data).decode()


def unseal_bytes(sealed: str) -> bytes:
    """Decrypts binary data. Raises SecretUnreadable if no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(sealed.encode())
    except InvalidToken as exc:
        raise SecretUnreadable from exc


def reseal(sealed: str) -> str:
    """Re-encrypts a secret with the newest key. Raises SecretUnreadable if no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).rotate(sealed.encode()).decode()
    except InvalidToken as exc:
        raise SecretUnreadable from exc


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    """Derives a Fernet key from a long random text, independent of other uses of that text."""
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"switchyard secrets at rest")
    return base64.urlsafe_b64encode(derivation.derive(key.encode()))
