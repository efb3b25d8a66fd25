"""Puts the test database back to where the cast has just arrived, faster than making them anew."""

from django.db import OperationalError, connection

COPIES = "test_snapshot"
# A table without a page was never written to.
LISTING = """
    SELECT schemaname, tablename, size FROM pg_tables,
      pg_relation_size((quote_ident(schemaname) || '.' || quote_ident(tablename))::regclass) AS size
    WHERE (schemaname = 'public' OR schemaname LIKE 't\\_%%') AND schemaname <> 'tenant_template'
      AND tablename NOT LIKE '%%django_migrations' AND size > 0
"""
LARGE_BYTES = 1_000_000  # from here on a new file is faster than deleting row by row
COLUMNS = """
    SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
    WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""

NO_WAITING = """
    SET synchronous_commit = off;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
    END $$
"""  # no test pulls the plug of its database, and the disk may be slow
UNGUARDED = "SET LOCAL session_replication_role = replica"  # the audit's guard is a trigger


def take() -> None:
    """Copies every table that holds rows; from here on this database waits for no disk."""
    with connection.cursor() as cursor:
        cursor.execute(NO_WAITING)
        cursor.execute(f"DROP SCHEMA IF EXISTS {COPIES} CASCADE; CREATE SCHEMA {COPIES}")
        cursor.execute(f"CREATE TABLE {COPIES}.kept (place text, source text, columns text)")
        for number, (schema, table, _) in enumerate(_tables(cursor)):
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
        tables = {f'"{schema}"."{table}"': size for schema, table, size in _tables(cursor)}
        # Whoever still writes is waited for, as TRUNCATE would.
        lock = f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE"
        large = [table for table, size in tables.items() if size > LARGE_BYTES]
        emptied = [f"TRUNCATE {', '.join(large)} CASCADE"] if large else []
        emptied += [f"DELETE FROM {table}" for table in tables]
        cursor.execute(f"SELECT place, source, columns FROM {COPIES}.kept")
        fills = [
            f'INSERT INTO {source} ({columns}) SELECT {columns} FROM {COPIES}."{place}"'
            for place, source, columns in cursor
        ]
        cursor.execute("; ".join(["BEGIN", UNGUARDED, lock, *emptied, *fills, "COMMIT"]))


def _tables(cursor: object) -> list[tuple[str, str, int]]:
    cursor.execute(LISTING)  # type: ignore[attr-defined]
    return list(cursor.fetchall())  # type: ignore[attr-defined]
