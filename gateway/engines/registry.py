"""Finds engines by name: the installation's by the ENGINE setting, a conversation's by its row.

An optional part of an engine is None where that engine does not have it.
"""

from django.conf import settings

from gateway.engines.base import (
    ConversationStore,
    Engine,
    HealthProbe,
    SelfCheck,
    ServerRegistry,
    SettingsCheck,
    SettingsProblem,
)
from gateway.engines.direct.engine import DirectEngine
from gateway.engines.librechat.engine import LibreChatEngine

ENGINES: dict[str, type[Engine]] = {DirectEngine.name: DirectEngine, LibreChatEngine.name: LibreChatEngine}


def current_engine() -> Engine:
    """The engine of new conversations."""
    return ENGINES[settings.ENGINE]()


def engine_named(name: str) -> Engine:
    return ENGINES[name]()


def conversation_store(name: str) -> ConversationStore | None:
    engine = engine_named(name)
    return engine if isinstance(engine, ConversationStore) else None


def server_registry(name: str) -> ServerRegistry | None:
    engine = engine_named(name)
    return engine if isinstance(engine, ServerRegistry) else None


def health_probe() -> HealthProbe | None:
    """The current engine's; None for an engine that runs in our own processes."""
    engine = current_engine()
    return engine if isinstance(engine, HealthProbe) else None


def self_check() -> SelfCheck | None:
    """The current engine's."""
    engine = current_engine()
    return engine if isinstance(engine, SelfCheck) else None


def settings_problems() -> list[SettingsProblem]:
    """The current engine's settings that are missing or wrong; none for an unknown engine."""
    engine = ENGINES[settings.ENGINE]() if settings.ENGINE in ENGINES else None
    return engine.settings_problems() if isinstance(engine, SettingsCheck) else []


def engine_for(previous: str) -> str:
    """The engine for the next turn of a conversation that ran on `previous`.

    It stays there, unless the installation no longer uses that engine: then our own copy is continued.
    """
    return previous if previous == settings.ENGINE else DirectEngine.name


def outlives_process(name: str) -> bool:
    """Whether turns of that engine continue when the process that follows them dies."""
    engine = ENGINES.get(name)
    return engine is not None and engine.outlives_process
