"""Sessions in the database, whose keys are what Django makes them: letters and digits."""

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    """A cookie is anybody's to write; a key with NUL in it would reach PostgreSQL and fail there."""

    def _validate_session_key(self, key: Any) -> bool:
        return bool(key) and len(key) >= 8 and key.isascii() and key.isalnum()
