"""Translates database failures into the DomainError that clients get."""

from django.db import InterfaceError, OperationalError

from kit.errors import DatabaseBusy, DatabaseUnavailable

FAILURES = (OperationalError, InterfaceError)  # of the connection or the server, not of the statement
# lock_not_available, query_canceled, serialization_failure, deadlock_detected
# (https://www.postgresql.org/docs/current/errcodes-appendix.html)
BUSY = {"55P03", "57014", "40001", "40P01"}


def database_failure(problem: BaseException) -> DatabaseUnavailable | None:
    """None if `problem` is not a database failure."""
    if not isinstance(problem, FAILURES):
        return None
    return DatabaseBusy() if getattr(problem.__cause__, "sqlstate", None) in BUSY else DatabaseUnavailable()
