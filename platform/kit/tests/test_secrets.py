"""Secrets at rest: sealed, opened, rotated."""

from typing import Any

import pytest

from kit.secrets import SecretUnreadable, reseal, seal, unseal

OLD, NEW = "an old key of some length " * 2, "a new key of some length " * 2


def test_a_sealed_text_comes_back_and_shows_nothing_of_itself() -> None:
    sealed = seal("sk-secret-é")
    assert "secret" not in sealed
    assert unseal(sealed) == "sk-secret-é"
    assert seal("sk-secret-é") != sealed


def test_a_new_key_in_front_still_opens_what_the_old_one_sealed(settings: Any) -> None:
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


def test_a_sealed_text_that_was_changed_is_refused() -> None:
    sealed = seal("sk-secret")
    with pytest.raises(SecretUnreadable):
        unseal(sealed[:-4] + "AAAA")
