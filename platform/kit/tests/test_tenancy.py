"""There is one way into a tenant's schema, and forgetting it fails loudly."""

import ast
import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts.tests.cast import Cast
from gateway.models import Conversation
from kit.tenancy import connection_released, in_public, in_tenant, tenant_scope
from workspaces.models import LanguageModel

ROOT = Path(__file__).resolve().parents[3]
OUR_CODE = ["accounts", "gateway", "platform", "quotas", "workspaces"]
ENTRANCES = {
    "schema_context",
    "tenant_context",
    "set_tenant",
    "set_schema",
    "set_schema_to_public",
    "activate",
}


def schema_now() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
async def test_concurrent_units_of_two_tenants_use_their_own_schemas(cast: Cast) -> None:
    acme, globex = cast.alice.principal.tenant, cast.charlie.principal.tenant
    seen = await asyncio.gather(
        *(in_tenant(tenant, schema_now) for tenant in [acme, globex] * 20), in_public(schema_now)
    )
    assert seen == [acme.schema_name, globex.schema_name] * 20 + ["public"]


@pytest.mark.django_db(transaction=True)
async def test_a_failing_unit_does_not_affect_the_next(cast: Cast) -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    for _ in range(10):
        with pytest.raises(ValueError, match="on purpose"):
            await in_tenant(cast.alice.principal.tenant, fail)
    assert {await in_public(schema_now) for _ in range(10)} == {"public"}


@dataclass
class Listing:
    rows: Any


WRAPPERS: list[Callable[[Any], Any]] = [lambda rows: rows, Listing, lambda rows: ("x", [rows])]


@pytest.mark.django_db(transaction=True)
def test_a_released_connection_is_closed_and_comes_back_in_the_same_schema(cast: Cast) -> None:
    tenant = cast.alice.principal.tenant
    with tenant_scope(tenant):
        assert schema_now() == tenant.schema_name
        with connection_released():
            assert connection.connection is None
        assert schema_now() == tenant.schema_name
        with pytest.raises(ValueError, match="on purpose"), connection_released():
            raise ValueError("on purpose")
        assert schema_now() == tenant.schema_name
        with connection_released():
            assert schema_now() == "public"
    assert schema_now() == "public"


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_released_inside_a_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"), connection_released():
        pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wrap", WRAPPERS)
async def test_a_lazy_queryset_does_not_leave_its_unit(cast: Cast, wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="lazy QuerySet"):
        await in_tenant(cast.alice.principal.tenant, lambda: wrap(Conversation.objects.all()))


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Conversation, LanguageModel])
def test_a_forgotten_context_fails_loudly(model: type) -> None:
    with pytest.raises(ProgrammingError, match="does not exist"):
        model.objects.exists()  # type: ignore[attr-defined]


def entrances_used_in(source: Path) -> set[str]:
    tree = ast.parse(source.read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return (names | imported) & ENTRANCES


def test_nothing_but_the_tenancy_module_enters_a_schema() -> None:
    sources = [path for folder in OUR_CODE for path in (ROOT / folder).rglob("*.py")]
    users = {
        str(path.relative_to(ROOT))
        for path in sources
        if "tests" not in path.parts and entrances_used_in(path)
    }
    assert users == {"platform/kit/tenancy.py"}


def test_no_tenant_table_points_at_a_shared_one() -> None:
    for model in (*Conversation._meta.apps.get_app_config("gateway").get_models(), LanguageModel):
        for field in model._meta.get_fields():
            target = getattr(field, "related_model", None)
            assert target is None or target._meta.app_label in {"gateway", "workspaces"}, field
