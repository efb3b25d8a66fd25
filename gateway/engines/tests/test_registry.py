"""Callers get None for an optional part that an engine does not have."""

from typing import Any

from gateway.engines.registry import (
    conversation_store,
    health_probe,
    self_check,
    server_registry,
    settings_problems,
)


def test_the_direct_engine_stores_nothing_and_is_always_healthy(settings: Any) -> None:
    settings.ENGINE = "direct"
    assert (conversation_store("direct"), server_registry("direct"), health_probe()) == (None, None, None)
    assert self_check() is not None
    assert settings_problems() == []


def test_librechat_has_every_optional_part(settings: Any) -> None:
    settings.ENGINE = "librechat"
    found = [conversation_store("librechat"), server_registry("librechat"), health_probe(), self_check()]
    assert None not in found


def test_an_unknown_engine_has_no_settings_of_its_own(settings: Any) -> None:
    settings.ENGINE = "unknown"
    assert settings_problems() == []
