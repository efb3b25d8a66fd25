"""A database with all migrations, which later test runs copy instead of migrating for 15 seconds.

Its name contains a hash of everything that migrating depends on, so a changed migration makes a new one.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection
from psycopg import errors, sql

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "migrated_"
KEPT = 3  # templates: of this version and of the branches worked on before


def use_if_present() -> None:
    """Makes Django copy the template when it creates the test database."""
    if _names().count(_name()):
        settings.DATABASES["default"]["TEST"]["TEMPLATE"] = _name()


def keep() -> None:
    """Stores a copy of the newly migrated test database, unless another process has; deletes old ones."""
    if settings.DATABASES["default"]["TEST"].get("TEMPLATE"):
        return
    source = connection.settings_dict["NAME"]
    connection.close()
    connection.close_pool()  # a database with connections cannot be copied
    with connection._nodb_cursor() as cursor:
        try:
            _run(cursor, "CREATE DATABASE {} TEMPLATE {}", _name(), source)
        except Exception as exc:
            if not isinstance(exc.__cause__, errors.DuplicateDatabase | errors.UniqueViolation):
                raise
    _delete_old()


def _delete_old() -> None:
    for name in _names()[:-KEPT]:
        with connection._nodb_cursor() as cursor:
            _run(cursor, "DROP DATABASE IF EXISTS {}", name)


def _run(cursor: object, statement: str, *names: str) -> None:
    quoted = sql.SQL(statement).format(*map(sql.Identifier, names))
    cursor.execute(quoted.as_string(None))  # type: ignore[attr-defined]


def _names() -> list[str]:
    """Of all templates, the oldest first."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY oid", [PREFIX]
        )
        return [name for (name,) in cursor.fetchall()]


def _name() -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return PREFIX + digest.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    """Migrations, what runs them, and the versions of other packages' migrations."""
    yield from ROOT.glob("*/migrations/*.py")
    yield from ROOT.glob("accounts/management/commands/migrate*.py")
    yield from ROOT.glob("accounts/teams/schema_*.py")
    yield ROOT / "platform" / "config" / "settings.py"
    yield ROOT / "requirements.txt"
