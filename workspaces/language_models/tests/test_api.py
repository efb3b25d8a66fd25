"""Models and credentials by REST: rights, responses and refusals."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry, WorkspaceMember
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As
from kit.secrets import unseal
from kit.tenancy import tenant_scope
from workspaces.language_models.queries import installed_models
from workspaces.language_models.services import change_models
from workspaces.models import LanguageModel, ProviderCredential

pytestmark = pytest.mark.django_db
SALES = "workspaces/sales"
BUILT_IN = ["local", "local-embedding"]
KEY = "sk-very-secret"


def create_credential(person: Any, **fields: Any) -> Any:
    body = {"name": "Ours", "kind": "openai", "key": KEY, "test": False} | fields
    return As(person).ask("POST", f"{SALES}/credentials", body)


def install(person: Any, slug: str = "gpt", **fields: Any) -> Any:
    credential = create_credential(person, name=f"For {slug}").json()["id"]
    body = {
        "credential_id": credential,
        "slug": slug,
        "upstream_name": "gpt-x",
        "context_window": 1000,
        "output_bound": 100,
        "test": False,
    }
    return As(person).ask("POST", f"{SALES}/models", body | fields)


def slugs(person: Any) -> list[str]:
    return [row["slug"] for row in As(person).ask("GET", f"{SALES}/models").json()["data"]]


@pytest.mark.parametrize("body", [{"name": "gpt"}, {"enabled": False}, {"context_window": 1000}, {}])
def test_a_change_that_changes_nothing_leaves_no_trace(cast: Cast, body: dict[str, Any]) -> None:
    install(cast.alice, name="gpt")
    assert As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", body).status_code == 200
    assert not AuditEntry.objects.filter(action="language_model.changed").exists()


def test_a_credential_saved_as_it_is_leaves_no_trace(cast: Cast) -> None:
    path = f"{SALES}/credentials/{create_credential(cast.alice).json()['id']}"
    for change in ({"name": "Ours"}, {"base_url": "https://api.openai.com/v1/"}, {}):
        assert As(cast.alice).ask("PATCH", path, change | {"test": False}).status_code == 200
    assert not AuditEntry.objects.filter(action="provider_credential.changed").exists()


def test_parameters_that_do_not_exist_are_refused_by_name(cast: Cast) -> None:
    answer = install(cast.alice, parameters={"temprature": 1})
    assert list(answer.json()["error"]["details"]["parameters"]) == ["temprature"]


def test_a_key_is_encrypted_and_never_returned(cast: Cast) -> None:
    created = create_credential(cast.alice)
    assert (created.status_code, created.json()["has_key"]) == (201, True)
    listed = As(cast.alice).ask("GET", f"{SALES}/credentials").content.decode()
    assert KEY not in created.content.decode() + listed
    with tenant_scope(cast.alice.principal.tenant):
        assert KEY not in ProviderCredential.objects.get().sealed_key


def test_a_key_is_replaced_without_changing_models(cast: Cast) -> None:
    install(cast.alice)
    row = As(cast.alice).ask("GET", f"{SALES}/credentials").json()["data"][0]
    assert row["models"] == 1
    path = f"{SALES}/credentials/{row['id']}"
    assert As(cast.alice).ask("PATCH", path, {"key": "sk-new", "test": False}).status_code == 200
    moved = As(cast.alice).ask("PATCH", path, {"base_url": "https://elsewhere.example/v1", "test": False})
    assert list(moved.json()["error"]["details"]) == ["key"]
    used = As(cast.alice).ask("DELETE", path)
    assert (used.status_code, used.json()["error"]["details"]) == (409, {"models": ["gpt"]})


def test_a_shared_key_is_replaced_for_all_its_models(cast: Cast) -> None:
    shared = create_credential(cast.alice, name="Shared").json()["id"]
    for slug in ("one", "two"):
        assert install(cast.alice, slug, credential_id=shared).status_code == 201
    workspace = {"workspace_id": cast.alice.principal.workspace.id}
    with tenant_scope(cast.alice.principal.tenant):
        before = list(LanguageModel.objects.filter(**workspace).order_by("slug").values())
    rotated = As(cast.alice).ask("PATCH", f"{SALES}/credentials/{shared}", {"key": "sk-new", "test": False})
    assert rotated.json()["models"] == 2
    with tenant_scope(cast.alice.principal.tenant):
        assert list(LanguageModel.objects.filter(**workspace).order_by("slug").values()) == before
        keys = [
            row.endpoint.sealed_key for row in installed_models(**workspace) if row.slug in {"one", "two"}
        ]
    assert [unseal(key) for key in keys] == ["sk-new", "sk-new"]
    used = As(cast.alice).ask("DELETE", f"{SALES}/credentials/{shared}").json()["error"]["details"]["models"]
    assert sorted(used) == ["one", "two"]


def test_a_new_model_is_private_until_it_is_enabled(cast: Cast) -> None:
    assert install(cast.alice, abilities=["tools"]).json()["enabled"] is False
    assert (slugs(cast.alice), slugs(cast.bob)) == (["gpt", *BUILT_IN], BUILT_IN)
    assert As(cast.bob).ask("GET", f"{SALES}/models/gpt").status_code == 404
    assert As(cast.bob).ask("PATCH", f"{SALES}/models/gpt", {"enabled": True}).status_code == 403
    As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", {"enabled": True, "fallback": "local"})
    shown = As(cast.bob).ask("GET", f"{SALES}/models/gpt").json()
    assert (shown["abilities"], shown["fallback"]) == (["tools"], "local")


def test_a_bulk_change_enables_all_models_or_none(cast: Cast) -> None:
    install(cast.alice, "one")
    install(cast.alice, "two")
    bulk = f"{SALES}/models/bulk"
    wrong = As(cast.alice).ask("POST", bulk, {"models": ["one", "nothing"], "enabled": True})
    assert (wrong.status_code, slugs(cast.bob)) == (404, BUILT_IN)
    As(cast.alice).ask("POST", bulk, {"models": ["one", "two"], "enabled": True})
    assert slugs(cast.bob) == [*BUILT_IN, "one", "two"]


def test_fallbacks_cannot_form_a_loop(cast: Cast) -> None:
    install(cast.alice)
    As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", {"fallback": "local"})
    circle = As(cast.alice).ask("PATCH", f"{SALES}/models/local", {"fallback": "gpt"})
    unknown = As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", {"fallback": "nothing"})
    for answer in (circle, unknown):
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["fallback"])


def test_a_change_of_one_side_of_access_leaves_the_other(cast: Cast) -> None:
    alice, bob = As(cast.alice), str(cast.bob.principal.user_id)
    path = f"{SALES}/models/local"

    def change(**access: Any) -> Any:
        return alice.ask("PATCH", path, {"access": access}).json()["access"]

    change(allow={"members": [bob]})
    assert change(deny={"roles": ["viewer"]}) == {
        "allow": {"roles": [], "members": [bob]},
        "deny": {"roles": ["viewer"], "members": []},
    }
    assert change()["allow"]["members"] == [bob]
    assert change(allow={"roles": ["editor"]})["allow"] == {"roles": ["editor"], "members": []}
    assert change(allow={})["deny"]["roles"] == ["viewer"]


def test_a_former_member_may_stay_named_but_cannot_be_added(cast: Cast) -> None:
    alice, bob = As(cast.alice), str(cast.bob.principal.user_id)
    path, named = f"{SALES}/models/local", {"members": [bob]}
    alice.ask("PATCH", path, {"access": {"allow": named}})
    WorkspaceMember.objects.filter(user=bob).delete()
    shown = alice.ask("GET", path).json()["access"]
    assert alice.ask("PATCH", path, {"access": shown}).json()["access"] == shown
    assert alice.ask("PATCH", path, {"access": {"allow": {"roles": ["manager"]}}}).status_code == 200
    assert alice.ask("PATCH", path, {"access": {"allow": named}}).status_code == 422


def test_a_model_is_hidden_from_those_who_may_not_use_it(cast: Cast) -> None:
    install(cast.alice)
    for person, status in ((cast.alice, 200), (cast.bob, 404)):
        assert As(person).ask("GET", f"{SALES}/models/gpt/prices").status_code == status
    As(cast.alice).ask("PATCH", f"{SALES}/models/local", {"fallback": "gpt"})

    def stand_ins(person: Any) -> list[str]:
        one = As(person).ask("GET", f"{SALES}/models/local").json()
        listed = As(person).ask("GET", f"{SALES}/models").json()["data"]
        return [one["fallback"], *(row["fallback"] for row in listed if row["slug"] == "local")]

    assert stand_ins(cast.alice) == ["gpt", "gpt"]
    assert stand_ins(cast.bob) == ["", ""]
    body = {"enabled": True, "access": {"deny": {"members": [str(cast.bob.principal.user_id)]}}}
    As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", body)
    assert stand_ins(cast.bob) == ["", ""]
    assert As(cast.bob).ask("GET", f"{SALES}/models/gpt/prices").status_code == 404
    As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", {"access": {"deny": {}}})
    assert stand_ins(cast.bob) == ["gpt", "gpt"]


def reads_of_bulk(cast: Cast, slugs: list[str], *, enabled: bool) -> int:
    """How many reads a bulk change takes; it writes each row and an audit entry."""
    with tenant_scope(cast.alice.principal.tenant), CaptureQueriesContext(connection) as queries_run:
        change_models(principal=cast.alice.principal, slugs=slugs, enabled=enabled)
    writes = [query for query in queries_run if query["sql"].startswith(("UPDATE", "INSERT"))]
    assert len(writes) == 2 * len(slugs)  # the row and its audit entry
    return len([query for query in queries_run if query["sql"].startswith("SELECT")])


def test_a_bulk_change_reads_the_models_once(cast: Cast) -> None:
    named = [f"m{number}" for number in range(6)]
    for slug in named:
        install(cast.alice, slug)
    few = reads_of_bulk(cast, named[:1], enabled=True)
    assert reads_of_bulk(cast, named[1:], enabled=True) == few


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"slug": "Not a slug"}, "slug"),
        ({"slug": "0" * 32}, "slug"),
        ({"slug": "123e4567-e89b-42d3-a456-426614174000"}, "slug"),
        ({"slug": "local"}, "slug"),
        ({"output_bound": 1000}, "output_bound"),
        ({"abilities": ["magic"]}, "abilities"),
        ({"context_window": 10**12}, "context_window"),
    ],
)
def test_an_invalid_model_is_refused_with_the_field_name(
    cast: Cast, fields: dict[str, Any], wrong: str
) -> None:
    answer = install(cast.alice, **{"slug": "gpt", **fields})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [wrong])


def test_a_context_window_can_be_corrected(cast: Cast) -> None:
    install(cast.alice)
    path = f"{SALES}/models/gpt"
    assert As(cast.alice).ask("PATCH", path, {"context_window": 32_000}).json()["context_window"] == 32_000
    small = As(cast.alice).ask("PATCH", path, {"context_window": 50})
    assert (small.status_code, list(small.json()["error"]["details"])) == (422, ["output_bound"])
    built_in = As(cast.alice).ask("PATCH", f"{SALES}/models/local", {"context_window": 10**6})
    assert (built_in.status_code, list(built_in.json()["error"]["details"])) == (422, ["context_window"])


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
def test_an_invalid_credential_is_refused_with_the_field_name(
    cast: Cast, fields: dict[str, Any], wrong: str
) -> None:
    answer = create_credential(cast.alice, **fields)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [wrong])
