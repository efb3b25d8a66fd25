"""Sessions in the database, with keys as Django creates them: letters and digits."""

from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from accounts.sign_in.token_families import APP_SESSION, end_family


class SessionStore(DatabaseStore):
    """A cookie is untrusted; a key with NUL in it would fail in PostgreSQL."""

    def flush(self) -> None:
        """Signing an app out, in any way, ends its tokens as well."""
        name, user_id = self.get(APP_SESSION), self.get(SESSION_KEY)
        super().flush()
        if name and user_id:
            end_family(UUID(str(name)), user_id=UUID(str(user_id)))

    def _validate_session_key(self, key: Any) -> bool:
        return bool(key) and len(key) >= 8 and key.isascii() and key.isalnum()
