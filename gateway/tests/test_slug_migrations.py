"""Rows from before slugs could be used again get ids, and prices of removed models are deleted."""

from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.tests.cast import Cast
from gateway.models import Turn
from gateway.tests.stored import store_turn
from kit.tenancy import tenant_scope
from quotas.models import Price
from workspaces.models import LanguageModel, MCPServer

pytestmark = pytest.mark.django_db
IDS = import_module("gateway.migrations.0010_turns_refer_by_id")
SLUGS = import_module("workspaces.migrations.0012_removed_slugs_are_free")


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_turns_get_the_ids_of_their_model_and_servers(cast: Cast) -> None:
    bob = cast.bob.principal
    store_turn(cast.bob)
    with tenant_scope(bob.tenant):
        Turn.objects.update(
            model="local",
            status=Turn.Status.RUNNING,
            parameters={"mcps": ["here", "gone", "nowhere"]},
        )
        fields: dict[str, Any] = {"workspace_id": bob.workspace.id, "name": "S", "url": "https://s.example"}
        here = MCPServer.objects.create(slug="here", **fields)
        MCPServer.objects.create(slug="gone", removed_at=timezone.now(), **fields)
        run(IDS.NAME_MODELS)
        run(IDS.NAME_SERVERS)
        turn = Turn.objects.get()
        local = LanguageModel.objects.get(workspace_id=bob.workspace.id, slug="local")
    assert (turn.model, turn.model_id) == ("local", local.id)
    assert turn.parameters == {"mcps": ["here", "gone", "nowhere"], "mcp_ids": [str(here.id)]}


def test_prices_of_removed_models_are_deleted_and_no_others(cast: Cast) -> None:
    bob = cast.bob.principal
    for workspace, model in ((bob, "gone"), (bob, "local"), (cast.dana.principal, "gone")):
        price = {"input": 1, "output": 1, "effective_from": timezone.now()}
        Price.objects.create(workspace_id=workspace.workspace.id, model=model, **price)
    with tenant_scope(bob.tenant):
        run("CREATE TABLE workspaces_retiredslug (workspace_id uuid, slug varchar(60))")
        run(f"INSERT INTO workspaces_retiredslug VALUES ('{bob.workspace.id}', 'gone')")
        run(SLUGS.FORGET_PRICES)
    left = Price.objects.exclude(workspace=None).values_list("workspace_id", "model")
    assert set(left) == {(bob.workspace.id, "local"), (cast.dana.principal.workspace.id, "gone")}
