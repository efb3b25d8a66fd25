"""A pooled connection that the server has ended is replaced before anyone uses it."""

import psycopg
import pytest
from django.db import connection


@pytest.mark.django_db(transaction=True)
def test_connections_that_the_server_ended_are_replaced() -> None:
    connection.close()
    pool = connection.pool
    taken = [pool.getconn() for _ in range(3)]
    ended = [each.info.backend_pid for each in taken]
    for each in taken:
        pool.putconn(each)
    parameters = connection.get_connection_params()
    known = ("host", "port", "dbname", "user", "password")
    with psycopg.connect(**{name: parameters[name] for name in known if name in parameters}) as admin:
        for pid in ended:  # waits until each is gone, with its last message on the way to us
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    for _ in range(len(ended)):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone()[0] not in ended
        connection.close()
