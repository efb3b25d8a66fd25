"""System checks: what would go wrong later is refused at the start."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from gateway.engines.registry import ENGINES
from kit.descriptors import granted, needed

EGRESS_SECRET_LENGTH = 32


@register()
def check_processes(**_: Any) -> list[Error]:
    """A turn's deltas are kept by the process that runs it; others get them by Redis."""
    if settings.WEB_CONCURRENCY > 1 and not settings.REDIS_URL:
        return [Error("More than one web process needs REDIS_URL.", id="switchyard.E001")]
    return []


@register()
def check_pool(**_: Any) -> list[Error]:
    if settings.DATABASE_POOL_SIZE <= settings.TENANCY_THREADS:
        return [
            Error(
                "DATABASE_POOL_SIZE must be above TENANCY_THREADS, or turns wait for pages.",
                id="switchyard.E002",
            )
        ]
    return []


@register()
def check_engine(**_: Any) -> list[Error]:
    if settings.ENGINE not in ENGINES:
        return [Error(f"ENGINE={settings.ENGINE!r} is none of: {', '.join(ENGINES)}.", id="switchyard.E003")]
    return []


@register()
def check_librechat(**_: Any) -> list[Error]:
    if settings.ENGINE == "librechat" and not settings.LIBRECHAT_URL:
        return [Error("ENGINE=librechat needs LIBRECHAT_URL.", id="switchyard.E004")]
    return []


@register()
def check_egress_secrets(**_: Any) -> list[Error]:
    """Whoever shows such a secret gets model calls paid for by a running turn's workspace."""
    if settings.ENGINE != "librechat":
        return []
    if not settings.EGRESS_SECRETS:
        return [Error("ENGINE=librechat needs EGRESS_SECRETS.", id="switchyard.E005")]
    shortest = min(len(secret) for secret in settings.EGRESS_SECRETS)
    if not settings.DEVELOPMENT and shortest < EGRESS_SECRET_LENGTH:
        text = f"EGRESS_SECRETS has one shorter than {EGRESS_SECRET_LENGTH} characters; make a longer one."
        return [Error(text, id="switchyard.E005")]
    return []


@register()
def check_mail(**_: Any) -> list[Warning]:
    """Not refused: an installation may do without mail, but somebody should know."""
    if not settings.DEVELOPMENT and not settings.EMAIL_HOST:
        hint = "Set EMAIL_HOST. Without it, no one can reset a password."
        return [Warning("No email is sent.", hint=hint, id="switchyard.W001")]
    return []


@register()
def check_descriptors(**_: Any) -> list[Warning]:
    """Not refused: it is only under load that connections fail for want of descriptors."""
    if granted() >= needed():
        return []
    text = (
        f"MAX_RUNNING_TURNS={settings.MAX_RUNNING_TURNS} needs {needed()} open files, "
        f"and the system grants {granted()}."
    )
    hint = (
        "Raise the hard limit (`ulimit -Hn`, `LimitNOFILE=`, compose's `ulimits`) or lower MAX_RUNNING_TURNS."
    )
    return [Warning(text, hint=hint, id="switchyard.W002")]


def refuse_broken_setup() -> None:
    """The same at the start of a web process, where Django runs no checks."""
    checks = (check_processes, check_pool, check_engine, check_librechat, check_egress_secrets)
    errors = [error for check in checks for error in check()]
    if errors:
        raise ImproperlyConfigured(" ".join(str(error.msg) for error in errors))
