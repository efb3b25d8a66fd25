"""A LibreChat for tests: answers as the recordings show and calls the egress over HTTP, all in memory."""

from gateway.tests.replayed_librechat.application import ReplayedLibreChat

__all__ = ["ReplayedLibreChat"]
