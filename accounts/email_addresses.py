"""Email addresses in the one form in which they are stored and compared."""

import unicodedata

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from kit.errors import InvalidInput

LONGEST = 254


def normal_address(text: str, *, field: str = "email") -> str:
    """Lowercase, the domain as DNS spells it; InvalidInput for anything but a plain address.

    Only ASCII before the @: `ａlice@`, `аlice@` in Cyrillic or `ſam@` look like, or lowercase to, someone
    else's address.
    """
    if len(text) > 2 * LONGEST:
        raise InvalidInput(**{field: ["This address is too long."]})
    local, at, domain = unicodedata.normalize("NFC", text).strip().rpartition("@")
    if not at or not local.isascii() or '"' in local:  # quoted, one mailbox has many spellings
        raise InvalidInput(**{field: ["Enter a plain e-mail address, as in alice@example.com."]})
    address = f"{local.lower()}@{_domain(domain, field)}"
    try:
        validate_email(address)
    except ValidationError as exc:
        raise InvalidInput(**{field: ["Enter a valid e-mail address."]}) from exc
    if len(address) > LONGEST:
        raise InvalidInput(**{field: ["This address is too long."]})
    return address


def plain_address(text: str) -> str:
    """For look-ups: the normal address, or the lowercased text of an invalid one, which no account has."""
    try:
        return normal_address(text)
    except InvalidInput:
        return text.strip().lower()


def mailbox_of(address: str) -> str:
    """For limits: without the part after a plus sign, which leads to the same mailbox."""
    name, _, domain = plain_address(address).rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


def _domain(domain: str, field: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode().lower()
    except idna.IDNAError as exc:
        raise InvalidInput(**{field: ["This domain does not exist."]}) from exc
