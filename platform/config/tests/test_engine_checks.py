"""With LibreChat as the engine, an installation that lacks its address or its secrets does not start."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.system_checks import check_engine_settings, refuse_broken_setup

LONG = "s" * 32


@pytest.fixture(autouse=True)
def librechat(settings: Any) -> Any:
    """A production installation with LibreChat, complete; each test takes one thing away."""
    settings.DEVELOPMENT = False
    settings.ENGINE = "librechat"
    settings.LIBRECHAT_URL = "http://librechat:3080"
    settings.EGRESS_SECRETS = [LONG]
    return settings


def found() -> list[str | None]:
    return [error.id for error in check_engine_settings()]


def test_a_complete_setup_is_accepted() -> None:
    assert found() == []
    refuse_broken_setup()


def test_librechat_needs_an_address(librechat: Any) -> None:
    librechat.LIBRECHAT_URL = ""
    assert found() == ["switchyard.E004"]
    with pytest.raises(ImproperlyConfigured, match="LIBRECHAT_URL"):
        refuse_broken_setup()


def test_librechat_needs_a_secret(librechat: Any) -> None:
    librechat.EGRESS_SECRETS = []
    assert found() == ["switchyard.E005"]
    with pytest.raises(ImproperlyConfigured, match="EGRESS_SECRETS"):
        refuse_broken_setup()


@pytest.mark.parametrize("secrets", [["short"], [LONG, "short"], ["development-only-secret"]])
def test_production_wants_every_secret_long(librechat: Any, secrets: list[str]) -> None:
    librechat.EGRESS_SECRETS = secrets
    assert found() == ["switchyard.E005"]


def test_two_long_secrets_may_be_valid_at_a_time(librechat: Any) -> None:
    librechat.EGRESS_SECRETS = [LONG, "t" * 40]
    assert found() == []


def test_development_may_have_a_short_one(librechat: Any) -> None:
    librechat.DEVELOPMENT = True
    librechat.EGRESS_SECRETS = ["short"]
    assert found() == []


def test_another_engine_needs_none_of_it(librechat: Any) -> None:
    librechat.ENGINE = "direct"
    librechat.LIBRECHAT_URL = ""
    librechat.EGRESS_SECRETS = []
    assert found() == []
