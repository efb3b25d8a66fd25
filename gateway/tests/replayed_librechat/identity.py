"""Ids and times in LibreChat's formats."""

import secrets
from datetime import UTC, datetime

NO_PARENT = "00000000-0000-0000-0000-000000000000"


def object_id() -> str:
    """A MongoDB id: 24 hexadecimal digits."""
    return secrets.token_hex(12)


def timestamp() -> str:
    """Now, in ISO form with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
