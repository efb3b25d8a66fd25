"""A connection's search path is set once per unit of work, and no statement runs in another schema.

Every test asks the server, with `current_schemas`, in which schemas a statement really ran.
"""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, ProgrammingError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Tenant
from accounts.tests.cast import Cast
from gateway.models import Conversation
from kit.tenancy import TenantRef, in_public, in_tenant, schema_scope, tenant_scope
from kit.tests.statements import Statement, recorded

PUBLIC = ["public"]


@pytest.fixture(autouse=True)
def fresh_connection(transactional_db: None) -> Iterator[None]:
    """Each test takes its connection from the pool, and none is left in a transaction."""
    connection.close()
    yield
    connection.close()


@pytest.fixture
def acme(cast: Cast) -> TenantRef:
    return cast.alice.principal.tenant


@pytest.fixture
def globex(cast: Cast) -> TenantRef:
    return cast.charlie.principal.tenant


@pytest.fixture
def one_connection() -> Iterator[None]:
    """The pool hands out a single connection, one holder after the other."""
    options = connection.settings_dict["OPTIONS"]
    usual = options["pool"]
    _replace_pool(options, {**usual, "min_size": 1, "max_size": 1})
    yield
    _replace_pool(options, usual)


def _replace_pool(options: dict[str, Any], pool: dict[str, Any]) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # Django's, for PostgreSQL
    options["pool"] = pool


def schemas() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schemas(false)")
        return list(cursor.fetchone()[0])


def of(tenant: TenantRef) -> list[str]:
    return [tenant.schema_name, "public"]


def fail() -> None:
    """A statement that PostgreSQL refuses."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def paths_set(statements: list[Statement]) -> int:
    return sum("search_path" in sql for sql, _ in statements)


def test_a_unit_sets_the_path_once(acme: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded(monkeypatch, of_requests=False) as statements, tenant_scope(acme):
        for _ in range(5):
            assert schemas() == of(acme)
        with transaction.atomic():
            Conversation.objects.count()
            with transaction.atomic():
                Conversation.objects.count()
        assert not Conversation.objects.filter(title="no").exists()
    assert paths_set(statements) == 1
    assert statements[0][0].startswith("SET search_path")


def test_a_transaction_that_opens_a_unit_does_not_set_the_path_again_after_it(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded(monkeypatch, of_requests=False) as statements, tenant_scope(acme):
        with transaction.atomic():
            schemas()
        with pytest.raises(DatabaseError), transaction.atomic():
            fail()
        assert schemas() == of(acme)
    assert paths_set(statements) == 1


def test_a_scope_without_statements_sets_no_path(
    acme: TenantRef, globex: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_scope(acme):
        schemas()
        with recorded(monkeypatch, of_requests=False) as statements:
            with tenant_scope(globex), tenant_scope(acme):
                pass
            schemas()
    assert paths_set(statements) == 0


def test_nested_scopes_return_to_the_outer_schema(acme: TenantRef, globex: TenantRef) -> None:
    assert schemas() == PUBLIC
    with tenant_scope(acme):
        assert schemas() == of(acme)
        with tenant_scope(globex):
            assert schemas() == of(globex)
            with schema_scope("public"):
                assert schemas() == PUBLIC
            assert schemas() == of(globex)
        assert schemas() == of(acme)
    assert schemas() == PUBLIC


def test_a_cursor_follows_the_scope_in_which_it_executes(acme: TenantRef, globex: TenantRef) -> None:
    with tenant_scope(acme), connection.cursor() as cursor:
        with tenant_scope(globex):
            cursor.execute("SELECT current_schema()")
            assert cursor.fetchone() == (globex.schema_name,)
        cursor.execute("SELECT current_schema()")
        assert cursor.fetchone() == (acme.schema_name,)


def test_a_cursor_is_unusable_once_its_connection_was_given_back(acme: TenantRef) -> None:
    with tenant_scope(acme), connection.cursor() as cursor:
        connection.close()
        with pytest.raises(InterfaceError):
            cursor.execute("SELECT 1")
        assert schemas() == of(acme)  # on a new connection
        with pytest.raises(InterfaceError):
            cursor.execute("SELECT 1")


def test_an_exception_returns_to_the_outer_schema(acme: TenantRef) -> None:
    with pytest.raises(DatabaseError), tenant_scope(acme):
        fail()
    assert schemas() == PUBLIC
    with tenant_scope(acme):
        with pytest.raises(DatabaseError):
            fail()
        assert schemas() == of(acme)


def test_a_rollback_undoes_only_a_path_set_in_its_transaction(acme: TenantRef, globex: TenantRef) -> None:
    with tenant_scope(acme):
        with pytest.raises(DatabaseError), transaction.atomic():
            fail()
        assert schemas() == of(acme)
        with pytest.raises(DatabaseError), transaction.atomic(), tenant_scope(globex):  # noqa: PT012
            assert schemas() == of(globex)
            fail()
        assert schemas() == of(acme)
    assert schemas() == PUBLIC


def test_a_rollback_without_an_error_undoes_a_path_too(acme: TenantRef, globex: TenantRef) -> None:
    with tenant_scope(acme):
        with transaction.atomic():
            with tenant_scope(globex):
                schemas()
            transaction.set_rollback(True)
        assert schemas() == of(acme)
        with tenant_scope(globex):
            assert schemas() == of(globex)


def test_a_rollback_inside_a_scope_that_began_in_the_transaction_keeps_the_schema(
    acme: TenantRef, globex: TenantRef
) -> None:
    """The transaction ends in one schema, and rolling back returns the server to another."""
    with tenant_scope(acme):
        schemas()
        scope = tenant_scope(globex)
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
            scope.__enter__()
            schemas()
            raise ZeroDivisionError
        assert schemas() == of(globex)
        scope.__exit__(None, None, None)
        assert schemas() == of(acme)


def test_a_commit_that_the_server_turns_into_a_rollback_is_noticed(
    acme: TenantRef, globex: TenantRef
) -> None:
    """Someone caught the error inside the block, so Django commits a transaction that has failed."""
    with tenant_scope(acme), transaction.atomic(), tenant_scope(globex):
        schemas()
        swallow(fail)
    with tenant_scope(globex):
        assert schemas() == of(globex)


def test_rolling_back_to_a_savepoint_undoes_a_path_set_after_it(acme: TenantRef, globex: TenantRef) -> None:
    with tenant_scope(acme), transaction.atomic():
        assert schemas() == of(acme)
        with pytest.raises(DatabaseError), transaction.atomic(), tenant_scope(globex):  # noqa: PT012
            assert schemas() == of(globex)
            fail()
        assert schemas() == of(acme)
        sid = transaction.savepoint()
        with tenant_scope(globex):
            assert schemas() == of(globex)
            transaction.savepoint_rollback(sid)
            assert schemas() == of(globex)
        assert schemas() == of(acme)
        transaction.savepoint_commit(sid)
        assert schemas() == of(acme)


def test_manual_transactions_are_noticed(acme: TenantRef, globex: TenantRef) -> None:
    transaction.set_autocommit(False)
    try:
        with tenant_scope(acme):
            assert schemas() == of(acme)
            transaction.rollback()
            assert schemas() == of(acme)
            with tenant_scope(globex):
                assert schemas() == of(globex)
                transaction.commit()
                assert schemas() == of(globex)
                transaction.rollback()
            assert schemas() == of(acme)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.parametrize(
    "statement", ["RESET search_path", "SET LOCAL search_path TO pg_catalog", "DISCARD ALL"]
)
def test_a_statement_that_changes_the_path_is_not_trusted(acme: TenantRef, statement: str) -> None:
    with tenant_scope(acme):
        schemas()
        with connection.cursor() as cursor:
            cursor.execute(statement)
        assert schemas() == of(acme)
    connection.connection.close()  # the pool must not hand it out without its usual settings


def test_a_path_that_cannot_be_set_stops_the_statement(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the statement would run in the schema that was entered before."""
    with tenant_scope(acme):
        schemas()
    connection.ensure_connection()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise_from_server("57014")

    with monkeypatch.context() as patched:
        patched.setattr(connection.connection, "execute", refuse)
        with pytest.raises(DatabaseError):
            schemas()
    assert schemas() == PUBLIC


def raise_from_server(state: str) -> None:
    """An error such as PostgreSQL's for a statement that was cancelled."""
    raw: Any = connection.connection
    with raw.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")


def test_two_tenants_take_turns_on_one_pooled_connection(
    acme: TenantRef, globex: TenantRef, one_connection: None
) -> None:
    """Each thread has a wrapper of its own, which must not trust what it knew of the same connection."""
    pids: set[int] = set()
    barrier = threading.Barrier(2)

    def work(tenant: TenantRef) -> list[list[str]]:
        seen = []
        barrier.wait(timeout=30)
        for _ in range(20):
            with tenant_scope(tenant):
                seen.append(schemas())
                seen.append(schemas())
            pids.add(connection.connection.info.backend_pid)
            connection.close()
        return seen

    connection.close()
    with ThreadPoolExecutor(max_workers=2) as threads:
        ours, theirs = threads.map(work, [acme, globex])
    assert ours == [of(acme)] * 40
    assert theirs == [of(globex)] * 40
    assert len(pids) == 1


def test_a_connection_given_back_within_a_transaction_leaves_nothing_behind(
    acme: TenantRef, globex: TenantRef, one_connection: None
) -> None:
    with pytest.raises(DatabaseError), tenant_scope(acme), transaction.atomic(), tenant_scope(globex):  # noqa: PT012
        schemas()
        connection.close()
        schemas()
    assert schemas() == PUBLIC
    with tenant_scope(acme):
        assert schemas() == of(acme)


async def test_units_of_two_tenants_share_one_connection(
    acme: TenantRef, globex: TenantRef, one_connection: None
) -> None:
    for _ in range(5):
        assert await in_tenant(acme, schemas) == of(acme)
        with pytest.raises(DatabaseError):
            await in_tenant(globex, fail)
        assert await in_tenant(globex, schemas) == of(globex)
        assert await in_public(schemas) == PUBLIC


def test_an_iterator_stays_in_its_schema_while_others_are_entered(acme: TenantRef, globex: TenantRef) -> None:
    with tenant_scope(acme), transaction.atomic():
        rows = Conversation.objects.values_list("id").iterator(chunk_size=1)
        with tenant_scope(globex):
            assert schemas() == of(globex)
        list(rows)
        assert schemas() == of(acme)
    assert Tenant.objects.exists()
    with pytest.raises(ProgrammingError):
        Conversation.objects.exists()


STEPS = st.recursive(
    st.sampled_from(["ask", "fail", "close"]),
    lambda inner: st.tuples(
        st.sampled_from(["acme", "globex", "public", "atomic", "raise"]), st.lists(inner)
    ),
    max_leaves=12,
)


@given(steps=st.lists(STEPS, max_size=6))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_nesting_of_scopes_transactions_and_errors_runs_each_statement_in_its_schema(
    acme: TenantRef, globex: TenantRef, steps: list[Any]
) -> None:
    connection.close()
    paths = {"acme": of(acme), "globex": of(globex), "public": PUBLIC}
    tenants = {"acme": acme.schema_name, "globex": globex.schema_name, "public": "public"}

    def run(steps: list[Any], path: list[str]) -> None:
        for step in steps:
            if step == "ask":
                ask(path)
            elif step == "fail":
                swallow(fail)
            elif step == "close":
                if not connection.in_atomic_block:
                    connection.close()
            else:
                nest(*step, path)

    def nest(kind: str, steps: list[Any], path: list[str]) -> None:
        if kind in paths:
            with schema_scope(tenants[kind]):
                run(steps, paths[kind])
        elif kind == "atomic":
            swallow(atomic, steps, path, None)
        else:
            swallow(atomic, steps, path, ZeroDivisionError())

    def atomic(steps: list[Any], path: list[str], error: Exception | None) -> None:
        with transaction.atomic():
            run(steps, path)
            if error:
                raise error

    def ask(path: list[str]) -> None:
        """Only a transaction that has failed may refuse to answer."""
        try:
            assert schemas() == path
        except DatabaseError:
            assert connection.in_atomic_block

    run(steps, PUBLIC)
    assert schemas() == PUBLIC


def swallow(func: Any, *args: Any) -> None:
    with contextlib.suppress(DatabaseError, ZeroDivisionError):
        func(*args)
