"""Names are normalised the same by REST and by the pages: runs of white space become one space."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, Tenant, User, Workspace
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As

pytestmark = pytest.mark.django_db
TYPED, STORED = " a    b\t ", "a b"
ACME = "/t/acme/w/sales/settings"
KEY = {"name": TYPED, "scopes": ["chat"]}


def names(cast: Cast) -> list[str]:
    """Of the team, the workspace and its newest key, and of alice."""
    tenant = Tenant.objects.get(slug="acme")
    workspace = Workspace.objects.get(tenant=tenant, slug="sales")
    key = ApiKey.objects.filter(tenant=tenant).order_by("-created_at").first()
    return [
        tenant.name,
        workspace.name,
        key.name if key else "",
        User.objects.get(id=cast.alice.user.id).name,
    ]


def test_rest_normalises_names(cast: Cast) -> None:
    alice = As(cast.alice)
    for method, path, body, status in (
        ("PATCH", "tenant", {"name": TYPED}, 200),
        ("PATCH", "workspaces/sales", {"name": TYPED}, 200),
        ("POST", "workspaces/sales/api-keys", KEY, 201),
        ("PATCH", "me", {"name": TYPED}, 200),
    ):
        assert alice.ask(method, path, body).status_code == status, path
    assert names(cast) == [STORED] * 4


def test_pages_normalise_names(cast: Cast) -> None:
    alice = Client()
    alice.force_login(cast.alice.user)
    forms: list[tuple[str, dict[str, Any], int]] = [
        (ACME, {"name": TYPED, "departed_conversations": "delete"}, 302),
        (f"{ACME}/workspaces/sales", {"name": TYPED}, 302),
        (f"{ACME}/keys", {**KEY, "reach": "workspace", "days": "30"}, 200),
        ("/accounts/profile/", {"name": TYPED}, 302),
    ]
    for path, form, status in forms:
        assert alice.post(path, form).status_code == status, path
    assert names(cast) == [STORED] * 4


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_rest_and_pages_refuse_the_same_names(cast: Cast, name: str) -> None:
    assert As(cast.alice).ask("PATCH", "workspaces/sales", {"name": name}).status_code == 422
    alice = Client()
    alice.force_login(cast.alice.user)
    assert alice.post(f"{ACME}/workspaces/sales", {"name": name}).status_code == 200
    assert Workspace.objects.get(tenant__slug="acme", slug="sales").name != name
