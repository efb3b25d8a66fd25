"""Models and credentials by REST: who may, what is told, what is refused."""

from typing import Any

import pytest

from accounts.tests.cast import Cast
from accounts.tests.requests_as import As, code_of
from kit.tenancy import tenant_scope
from workspaces.models import ProviderCredential

pytestmark = pytest.mark.django_db
HERE = "workspaces/sales"
KEY = "sk-very-secret"


def keep(person: Any, **fields: Any) -> Any:
    wish = {"name": "Ours", "kind": "openai", "key": KEY, "test": False} | fields
    return As(person).ask("POST", f"{HERE}/credentials", wish)


def install(person: Any, slug: str = "gpt", **fields: Any) -> Any:
    credential = keep(person, name=f"For {slug}").json()["id"]
    wish = {
        "credential_id": credential,
        "slug": slug,
        "upstream_name": "gpt-x",
        "context_window": 1000,
        "output_bound": 100,
        "test": False,
    }
    return As(person).ask("POST", f"{HERE}/models", wish | fields)


def slugs(person: Any) -> list[str]:
    return [row["slug"] for row in As(person).ask("GET", f"{HERE}/models").json()["data"]]


def test_a_key_is_kept_sealed_and_never_told(cast: Cast) -> None:
    kept = keep(cast.alice)
    assert (kept.status_code, kept.json()["has_key"]) == (201, True)
    listed = As(cast.alice).ask("GET", f"{HERE}/credentials").content.decode()
    assert KEY not in kept.content.decode() + listed
    with tenant_scope(cast.alice.principal.tenant):
        assert KEY not in ProviderCredential.objects.get().sealed_key


def test_a_key_is_rotated_without_touching_models(cast: Cast) -> None:
    install(cast.alice)
    row = As(cast.alice).ask("GET", f"{HERE}/credentials").json()["data"][0]
    assert row["models"] == 1
    where = f"{HERE}/credentials/{row['id']}"
    assert As(cast.alice).ask("PATCH", where, {"key": "sk-new", "test": False}).status_code == 200
    moved = As(cast.alice).ask("PATCH", where, {"base_url": "https://elsewhere.example/v1", "test": False})
    assert list(moved.json()["error"]["details"]) == ["key"]
    used = As(cast.alice).ask("DELETE", where)
    assert (used.status_code, used.json()["error"]["details"]) == (409, {"models": ["gpt"]})


def test_a_new_model_is_private_until_it_is_enabled(cast: Cast) -> None:
    assert install(cast.alice, abilities=["tools"]).json()["enabled"] is False
    assert (slugs(cast.alice), slugs(cast.bob)) == (["gpt", "local"], ["local"])
    assert As(cast.bob).ask("GET", f"{HERE}/models/gpt").status_code == 404
    assert As(cast.bob).ask("PATCH", f"{HERE}/models/gpt", {"enabled": True}).status_code == 403
    As(cast.alice).ask("PATCH", f"{HERE}/models/gpt", {"enabled": True, "fallback": "local"})
    told = As(cast.bob).ask("GET", f"{HERE}/models/gpt").json()
    assert (told["abilities"], told["fallback"]) == (["tools"], "local")


def test_several_are_enabled_at_once_or_none(cast: Cast) -> None:
    install(cast.alice, "one")
    install(cast.alice, "two")
    bulk = f"{HERE}/models/bulk"
    wrong = As(cast.alice).ask("POST", bulk, {"models": ["one", "nothing"], "enabled": True})
    assert (wrong.status_code, slugs(cast.bob)) == (404, ["local"])
    As(cast.alice).ask("POST", bulk, {"models": ["one", "two"], "enabled": True})
    assert slugs(cast.bob) == ["local", "one", "two"]


def test_a_removed_models_name_is_not_given_again(cast: Cast) -> None:
    install(cast.alice)
    assert As(cast.alice).ask("DELETE", f"{HERE}/models/gpt").status_code == 204
    again = As(cast.alice).ask("GET", f"{HERE}/credentials").json()["data"][0]["id"]
    wish = {
        "slug": "gpt",
        "upstream_name": "x",
        "context_window": 10,
        "output_bound": 5,
        "credential_id": again,
        "test": False,
    }
    assert code_of(As(cast.alice).ask("POST", f"{HERE}/models", wish)) == "conflict"
    assert As(cast.alice).ask("DELETE", f"{HERE}/models/local").status_code == 409


def test_fallbacks_make_no_circle(cast: Cast) -> None:
    install(cast.alice, fallback="local")
    As(cast.alice).ask("PATCH", f"{HERE}/models/gpt", {"fallback": "local"})
    circle = As(cast.alice).ask("PATCH", f"{HERE}/models/local", {"fallback": "gpt"})
    unknown = As(cast.alice).ask("PATCH", f"{HERE}/models/gpt", {"fallback": "nothing"})
    for answer in (circle, unknown):
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["fallback"])


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"slug": "Not a slug"}, "slug"),
        ({"slug": "local"}, "slug"),
        ({"output_bound": 1000}, "output_bound"),
        ({"abilities": ["magic"]}, "abilities"),
        ({"context_window": 10**12}, "context_window"),
    ],
)
def test_nonsense_models_are_refused(cast: Cast, fields: dict[str, Any], wrong: str) -> None:
    answer = install(cast.alice, **{"slug": "gpt", **fields})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [wrong])


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"key": ""}, "key"),
        ({"key": "two words"}, "key"),
        ({"kind": "magic"}, "kind"),
        ({"kind": "compatible"}, "base_url"),
        ({"base_url": "https://me:secret@example.com"}, "base_url"),
        ({"base_url": "https://[nonsense"}, "base_url"),
    ],
)
def test_nonsense_credentials_are_refused(cast: Cast, fields: dict[str, Any], wrong: str) -> None:
    answer = keep(cast.alice, **fields)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [wrong])
