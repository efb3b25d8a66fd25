"""Secrets at rest: encryption, decryption, key rotation."""

from typing import Any

import pytest

from kit.secrets import SecretUnreadable, reseal, seal, unseal

OLD, NEW = "an old key of some length " * 2, "a new key of some length " * 2


def test_a_sealed_text_is_unreadable_and_can_be_unsealed() -> None:
    sealed = seal("sk-secret-é")
    assert "secret" not in sealed
    assert unseal(sealed) == "sk-secret-é"
    assert seal("sk-secret-é") != sealed


def test_secrets_of_the_old_key_are_readable_after_a_new_one(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    sealed = seal("sk-secret")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert unseal(sealed) == "sk-secret"
    fresh = reseal(sealed)
    settings.ENCRYPTION_KEYS = [NEW]
    assert unseal(fresh) == "sk-secret"
    with pytest.raises(SecretUnreadable):
        unseal(sealed)
    with pytest.raises(SecretUnreadable):
        reseal(sealed)


def test_a_modified_sealed_text_is_refused() -> None:
    sealed = seal("sk-secret")
    with pytest.raises(SecretUnreadable):
        unseal(sealed[:-4] + "AAAA")
