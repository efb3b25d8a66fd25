"""Chooses the engine by the ENGINE setting."""

from collections.abc import Callable

from django.conf import settings

from gateway.engines.base import Engine
from gateway.engines.direct import DirectEngine

ENGINES: dict[str, Callable[[], Engine]] = {DirectEngine.name: DirectEngine}


def current_engine() -> Engine:
    return ENGINES[settings.ENGINE]()
