"""Finds engines by name: the installation's by the ENGINE setting, a conversation's by what it keeps."""

from django.conf import settings

from gateway.engines.base import Engine
from gateway.engines.direct import DirectEngine
from gateway.engines.librechat.engine import LibreChatEngine

ENGINES: dict[str, type[Engine]] = {DirectEngine.name: DirectEngine, LibreChatEngine.name: LibreChatEngine}


def current_engine() -> Engine:
    """What runs new conversations."""
    return ENGINES[settings.ENGINE]()


def engine_named(name: str) -> Engine:
    return ENGINES[name]()


def engine_for(kept: str) -> str:
    """The engine's name for a conversation that was held on `kept`.

    It stays there; but one whose engine is not this installation's any more goes on with our own copy.
    """
    return kept if kept == settings.ENGINE else DirectEngine.name


def outlives_us(name: str) -> bool:
    """Whether turns of that engine go on when the process that follows them dies."""
    engine = ENGINES.get(name)
    return engine is not None and engine.outlives_us
