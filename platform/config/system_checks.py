"""System checks: settings that would fail later stop the start."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from gateway.engines.registry import ENGINES, settings_problems
from kit.file_descriptors import granted, needed


@register()
def check_processes(**_: Any) -> list[Error]:
    """A turn's deltas are in the memory of the process that runs it; other processes need Redis."""
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
def check_engine_settings(**_: Any) -> list[Error]:
    return [Error(problem.text, id=problem.id) for problem in settings_problems()]


@register()
def check_mail(**_: Any) -> list[Warning]:
    """Only a warning: an installation can work without email, but the operator should know."""
    if not settings.DEVELOPMENT and not settings.EMAIL_HOST:
        hint = "Set EMAIL_HOST. Without it, no one can reset a password."
        return [Warning("No email is sent.", hint=hint, id="switchyard.W001")]
    return []


@register()
def check_descriptors(**_: Any) -> list[Warning]:
    """Only a warning: connections fail for lack of descriptors only under load."""
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
    """Runs the checks when a web process starts, where Django runs none."""
    checks = (check_processes, check_pool, check_engine, check_engine_settings)
    errors = [error for check in checks for error in check()]
    if errors:
        raise ImproperlyConfigured(" ".join(str(error.msg) for error in errors))
