"""Sets a connection's search path once per unit of work, instead of before every statement.

The path that the server uses is remembered only while it is certain. PostgreSQL undoes a SET together with
the transaction or savepoint around it, so a path that was set inside a transaction is forgotten when that
transaction, or any savepoint in it, ends otherwise than by being released.
"""

from typing import Any

from psycopg import Connection, sql
from psycopg.pq import TransactionStatus


class SearchPath:
    """The search path of one connection; `forget` when it is replaced."""

    def __init__(self) -> None:
        self._schemas: tuple[str, ...] = ()
        self._in_transaction = False

    def enter(self, connection: Connection[Any], schemas: tuple[str, ...]) -> str | None:
        """Makes the server look in `schemas`; returns the statement that this took, if any.

        Raises if the server refuses it: no statement may run in the schema that was entered before.
        """
        status = connection.info.transaction_status
        if status == TransactionStatus.IDLE:
            self.forget_transaction()
        if schemas == self._schemas or status == TransactionStatus.INERROR:
            return None  # a failed transaction accepts no statement until it is rolled back
        self.forget()
        statement = sql.SQL("SET search_path = {}").format(sql.SQL(",").join(map(sql.Identifier, schemas)))
        connection.execute(statement)
        self._schemas = schemas
        self._in_transaction = connection.info.transaction_status != TransactionStatus.IDLE
        return statement.as_string(connection)

    def forget(self) -> None:
        """After anything that may have changed the path on the server."""
        self._schemas = ()
        self._in_transaction = False

    def forget_transaction(self) -> None:
        """After a rollback, or a commit, which the server turns into a rollback if a statement failed."""
        if self._in_transaction:
            self.forget()
