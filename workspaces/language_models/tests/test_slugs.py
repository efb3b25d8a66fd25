"""Models by the names that clients use; a removed model's name is free, and brings nothing along."""

from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As, code_of
from kit.tenancy import tenant_scope
from quotas.models import Price
from workspaces.language_models.tests.test_api import BUILT_IN, SALES, install, slugs
from workspaces.models import LanguageModel

pytestmark = pytest.mark.django_db
NAMES = ["openai/gpt-4o", "qwen3:0.6b", "Qwen/Qwen3-8B"]
PRICE = {"input": 5, "output": 7}


@pytest.mark.parametrize("slug", NAMES)
@pytest.mark.parametrize("is_encoded", [False, True])
def test_rest_finds_a_model_with_slashes_colons_and_capitals(
    cast: Cast, slug: str, *, is_encoded: bool
) -> None:
    alice = As(cast.alice)
    assert install(cast.alice, slug, enabled=True).json()["slug"] == slug
    path = f"{SALES}/models/{quote(slug, safe='') if is_encoded else slug}"
    assert alice.ask("GET", path).json()["slug"] == slug
    assert alice.ask("PATCH", path, {"name": "Renamed"}).json()["name"] == "Renamed"
    assert alice.ask("POST", f"{path}/prices", PRICE).status_code == 201
    assert alice.ask("GET", path).json()["price"]["input"] == 5
    assert alice.ask("GET", f"models/{slug}").json()["id"] == slug
    assert As(cast.charlie).ask("GET", path).status_code == 404
    assert slugs(cast.bob) == sorted([*BUILT_IN, slug])
    assert alice.ask("DELETE", path).status_code == 204
    assert alice.ask("GET", path).status_code == 404


@pytest.mark.parametrize("slug", NAMES)
def test_pages_find_a_model_with_slashes_colons_and_capitals(cast: Cast, slug: str) -> None:
    install(cast.alice, slug, name="The one")
    alice = Client()
    alice.force_login(cast.alice.user)
    slugs_of_url = {"tenant": "acme", "workspace": "sales"}
    listed = alice.get(reverse("models", kwargs=slugs_of_url)).content.decode()
    for name, status in (("model", 200), ("model_price", 200), ("test_model", 405), ("uninstall_model", 405)):
        path = reverse(name, kwargs={**slugs_of_url, "model": slug})
        assert alice.get(path).status_code == status
        assert name == "test_model" or f'"{path}"' in listed
    assert alice.post(reverse("uninstall_model", kwargs={**slugs_of_url, "model": slug})).status_code == 302
    assert slugs(cast.alice) == BUILT_IN


def test_two_names_do_not_differ_by_case_alone(cast: Cast) -> None:
    install(cast.alice, "Qwen/Qwen3-8B")
    refused = install(cast.alice, "qwen/qwen3-8b")
    assert (refused.status_code, refused.json()["error"]["details"]) == (409, {"slug": "qwen/qwen3-8b"})
    assert "taken" in refused.json()["error"]["message"]
    assert As(cast.alice).ask("GET", f"{SALES}/models/qwen/qwen3-8b").status_code == 404


def remove(cast: Cast, slug: str) -> None:
    assert As(cast.alice).ask("DELETE", f"{SALES}/models/{slug}").status_code == 204


def again(cast: Cast, slug: str = "gpt", **fields: Any) -> Any:
    """Installs another model under the same name, with the credential that is there."""
    credential = As(cast.alice).ask("GET", f"{SALES}/credentials").json()["data"][0]["id"]
    body = {"slug": slug, "upstream_name": "y", "context_window": 10, "output_bound": 5, "test": False}
    return As(cast.alice).ask("POST", f"{SALES}/models", {**body, "credential_id": credential, **fields})


def test_a_removed_models_name_is_free_and_brings_nothing_along(cast: Cast) -> None:
    alice, path = As(cast.alice), f"{SALES}/models/gpt"
    first = install(cast.alice, enabled=True, parameters={"temperature": 1}).json()
    alice.ask("PATCH", path, {"access": {"deny": {"members": [str(cast.bob.principal.user_id)]}}})
    alice.ask("PATCH", f"{SALES}/models/local", {"fallback": "gpt"})
    alice.ask("POST", f"{path}/prices", PRICE)
    remove(cast, "gpt")
    second = again(cast)
    assert (second.status_code, second.json()["id"] == first["id"]) == (201, False)
    data = second.json()
    assert (data["enabled"], data["price"], data["parameters"].get("temperature")) == (False, None, None)
    assert data["access"]["deny"]["members"] == []
    assert alice.ask("GET", f"{path}/prices").json()["data"] == []
    assert alice.ask("GET", f"{SALES}/models/local").json()["fallback"] == ""
    assert not Price.objects.filter(model="gpt").exists()
    entries = AuditEntry.objects.filter(action__in=["language_model.added", "language_model.removed"])
    ids = list(entries.order_by("at").values_list("details__id", flat=True))
    assert ids == [first["id"], first["id"], data["id"]]


def test_the_built_in_model_keeps_its_name(cast: Cast) -> None:
    install(cast.alice)
    assert code_of(As(cast.alice).ask("DELETE", f"{SALES}/models/local")) == "conflict"
    assert code_of(again(cast, "Local")) == "invalid_input"
    with tenant_scope(cast.alice.principal.tenant):
        assert LanguageModel.objects.filter(slug__iexact="local").count() == 2  # of both workspaces
