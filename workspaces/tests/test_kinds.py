"""Every table and secret of a tenant is declared by a kind or by the gateway, and goes with its workspace."""

from itertools import chain
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.urls import reverse

from accounts.tests.cast import Cast
from accounts.tests.requests_as import As
from gateway.tables import TABLES
from kit.tenancy import tenant_scope
from workspaces.kind import Table
from workspaces.kinds import KINDS, RAIL, delete_contents
from workspaces.models import MCPServer, MCPSignIn, PendingSignIn, Tool

OF_KINDS = tuple(chain.from_iterable(kind.tables for kind in KINDS))
DECLARED = (*OF_KINDS, *TABLES)


def test_every_tenant_table_belongs_to_one_kind_or_to_the_gateway() -> None:
    declared = [table.model for table in DECLARED]
    models = [model for app in settings.TENANT_APPS for model in apps.get_app_config(app).get_models()]
    assert sorted(map(str, declared)) == sorted(map(str, models))


@pytest.mark.parametrize("table", DECLARED, ids=lambda table: table.model.__name__)
def test_every_encrypted_column_is_declared_and_never_exported(table: Table) -> None:
    columns = {field.name for field in table.model._meta.fields}
    assert set(table.sealed) == {name for name in columns if name.startswith("sealed")}
    assert not set(table.sealed) & set(table.exported)
    key = table.model._meta.pk
    assert key is not None
    assert key.attname in table.exported


def test_names_and_positions_in_the_rail_are_unique() -> None:
    assert [kind.name for kind in RAIL] == ["prompts", "models", "mcps"]
    assert len({kind.rail.position for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        workspace = {"tenant": "acme", "workspace": "sales"}
        assert reverse(kind.rail.url_name, kwargs=workspace) == f"/t/acme/w/sales/{kind.name}"
        assert bool(kind.secrets) == any(table.sealed for table in kind.tables)


def fill(cast: Cast) -> None:
    """A row in every table of every kind, in the workspaces sales and ops."""
    for workspace in ("sales", "ops"):
        here, alice = f"workspaces/{workspace}", As(cast.alice)
        wish: dict[str, Any] = {"name": "Ours", "kind": "openai", "key": "sk-1", "test": False}
        held = alice.ask("POST", f"{here}/credentials", wish).json()
        wish = {"slug": "m", "upstream_name": "m", "context_window": 10, "output_bound": 5, "test": False}
        made = alice.ask("POST", f"{here}/models", {**wish, "credential_id": held["id"]})
        assert made.status_code == 201, made.content
        wish = {"slug": "letter", "title": "A letter", "text": "Dear"}
        workspace_id = alice.ask("POST", f"{here}/prompts", wish).json()["workspace_id"]
        assert alice.ask("PUT", f"{here}/prompts/letter/favourite").status_code == 204
        server = MCPServer.objects.create(
            workspace_id=workspace_id, slug="s", name="S", url="https://s.example"
        )
        Tool.objects.create(server=server, name="t", definition={}, definition_hash="h")
        user = {"server": server, "user_id": cast.alice.principal.user_id}
        MCPSignIn.objects.create(sealed_access="a", **user)
        PendingSignIn.objects.create(
            state_hash=workspace, sealed_verifier="v", expires_at="2100-01-01T00:00:00Z", **user
        )


@pytest.mark.django_db
def test_a_workspaces_rows_are_deleted_from_every_table_and_no_other_workspaces(cast: Cast) -> None:
    sales, ops = cast.bob.principal.workspace.id, cast.dana.principal.workspace.id
    with tenant_scope(cast.alice.principal.tenant):
        fill(cast)
        for table in OF_KINDS:
            assert table.rows(sales).exists(), table.model
        before = [table.rows(ops).count() for table in OF_KINDS]
        assert all(before)
        delete_contents(sales)
        assert not any(table.rows(sales).exists() for table in OF_KINDS)
        assert [table.rows(ops).count() for table in OF_KINDS] == before
