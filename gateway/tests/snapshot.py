"""Restores the test database to the state with only the cast, faster than creating it again."""

from django.db import DatabaseError, OperationalError, connection

COPIES = "test_snapshot"
# A table without a page was never written to.
LISTING = """
    SELECT schemaname, tablename, size FROM pg_tables,
      pg_relation_size((quote_ident(schemaname) || '.' || quote_ident(tablename))::regclass) AS size
    WHERE (schemaname = 'public' OR schemaname LIKE 't\\_%%') AND schemaname <> 'tenant_template'
      AND tablename NOT LIKE '%%django_migrations' AND size > 0
"""
LARGE_BYTES = 1_000_000  # from this size on, TRUNCATE is faster than DELETE
COLUMNS = """
    SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
    WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""

NO_SYNC = """
    SET synchronous_commit = off;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
    END $$
"""  # tests need no durability, and the disk may be slow
WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"  # one protects the audit


def take() -> None:
    """Copies every table with rows, and turns off synchronous commits."""
    with connection.cursor() as cursor:
        cursor.execute(NO_SYNC)
        cursor.execute(f"DROP SCHEMA IF EXISTS {COPIES} CASCADE; CREATE SCHEMA {COPIES}")
        cursor.execute(f"CREATE TABLE {COPIES}.copies (copy text, source text, columns text)")
        for number, (schema, table, _) in enumerate(_tables(cursor)):
            cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{schema}"."{table}")')
            if cursor.fetchone()[0]:
                cursor.execute(f'CREATE TABLE {COPIES}."c{number}" AS TABLE "{schema}"."{table}"')
                cursor.execute(
                    f"INSERT INTO {COPIES}.copies SELECT %s, %s, ({COLUMNS})",
                    [f"c{number}", f'"{schema}"."{table}"', schema, table],
                )
        cursor.execute(f"CREATE TABLE {COPIES}.schemas AS SELECT nspname::text AS name FROM pg_namespace")


def restore() -> None:
    """Restores everything; retries after a conflict with the last transaction of a closing turn."""
    for attempt in range(3):
        try:
            return _restore()
        except DatabaseError as exc:
            connection.close()  # its transaction has failed
            if attempt == 2 or not isinstance(exc, OperationalError):
                raise


def _restore() -> None:
    """Empties all tables, inserts the copies, and drops new schemas."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%' "
            f"AND nspname NOT IN (SELECT name FROM {COPIES}.schemas)"
        )
        for (schema,) in cursor.fetchall():
            cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')
        tables = {f'"{schema}"."{table}"': size for schema, table, size in _tables(cursor)}
        # Waits for transactions that still write, as TRUNCATE does.
        lock = f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE"
        large = [table for table, size in tables.items() if size > LARGE_BYTES]
        emptied = [f"TRUNCATE {', '.join(large)} CASCADE"] if large else []
        emptied += [f"DELETE FROM {table}" for table in tables]
        cursor.execute(f"SELECT copy, source, columns FROM {COPIES}.copies")
        fills = [
            f'INSERT INTO {source} ({columns}) SELECT {columns} FROM {COPIES}."{copy}"'
            for copy, source, columns in cursor
        ]
        cursor.execute("; ".join(["BEGIN", WITHOUT_TRIGGERS, lock, *emptied, *fills, "COMMIT"]))


def _tables(cursor: object) -> list[tuple[str, str, int]]:
    cursor.execute(LISTING)  # type: ignore[attr-defined]
    return list(cursor.fetchall())  # type: ignore[attr-defined]
