"""Puts the test database back to where the cast has just arrived, faster than making them anew."""

from django.db import OperationalError, connection

COPIES = "test_snapshot"
LISTING = """
    SELECT schemaname, tablename FROM pg_tables
    WHERE (schemaname = 'public' OR schemaname LIKE 't\\_%%') AND schemaname <> 'tenant_template'
      AND tablename NOT LIKE '%%django_migrations'
"""
COLUMNS = """
    SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
    WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""

UNGUARDED = "SET LOCAL session_replication_role = replica"  # the audit's guard is a trigger


def take() -> None:
    """Copies every table that holds rows."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {COPIES} CASCADE; CREATE SCHEMA {COPIES}")
        cursor.execute(f"CREATE TABLE {COPIES}.kept (place text, source text, columns text)")
        for number, (schema, table) in enumerate(_tables(cursor)):
            cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{schema}"."{table}")')
            if cursor.fetchone()[0]:
                cursor.execute(f'CREATE TABLE {COPIES}."c{number}" AS TABLE "{schema}"."{table}"')
                cursor.execute(
                    f"INSERT INTO {COPIES}.kept SELECT %s, %s, ({COLUMNS})",
                    [f"c{number}", f'"{schema}"."{table}"', schema, table],
                )
        cursor.execute(f"CREATE TABLE {COPIES}.schemas AS SELECT nspname::text AS name FROM pg_namespace")


def restore() -> None:
    """Puts everything back; tried again where it met the last transaction of a turn that was being closed."""
    for attempt in range(3):
        try:
            return _restore()
        except OperationalError:
            connection.close()  # it stands in a failed transaction
            if attempt == 2:
                raise


def _restore() -> None:
    """Empties all tables, fills in the copies, drops the schemas that came since."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%' "
            f"AND nspname NOT IN (SELECT name FROM {COPIES}.schemas)"
        )
        for (schema,) in cursor.fetchall():
            cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')
        everything = ", ".join(f'"{schema}"."{table}"' for schema, table in _tables(cursor))
        cursor.execute(f"SELECT place, source, columns FROM {COPIES}.kept")
        fills = [
            f'INSERT INTO {source} ({columns}) SELECT {columns} FROM {COPIES}."{place}"'
            for place, source, columns in cursor
        ]
        cursor.execute("; ".join(["BEGIN", UNGUARDED, f"TRUNCATE {everything} CASCADE", *fills, "COMMIT"]))


def _tables(cursor: object) -> list[tuple[str, str]]:
    cursor.execute(LISTING)  # type: ignore[attr-defined]
    return list(cursor.fetchall())  # type: ignore[attr-defined]
