"""A LibreChat for tests: answers like the recordings, calls the egress over HTTP, stores all in memory."""

from gateway.tests.replayed_librechat.application import ReplayedLibreChat

__all__ = ["ReplayedLibreChat"]
