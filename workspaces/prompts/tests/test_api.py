"""The library by REST: rights, versions, search and rendering."""

from typing import Any

import pytest

from accounts.models import AuditEntry, WorkspaceMember
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db
PROMPTS = "workspaces/sales/prompts"
LETTER = {
    "slug": "letter",
    "title": "A letter",
    "text": "Write to {{name}}.",
    "variables": [{"name": "name"}],
    "tags": ["Mail", "mail", "customers"],
}


def create(person: Any, **fields: Any) -> Any:
    return As(person).ask("POST", PROMPTS, LETTER | fields)


def slugs(person: Any, query: str = "", workspace: str = "sales") -> list[str]:
    return [
        row["slug"] for row in As(person).ask("GET", f"workspaces/{workspace}/prompts{query}").json()["data"]
    ]


def test_a_prompt_is_stored_with_its_first_version(cast: Cast) -> None:
    made = create(cast.bob).json()
    assert (made["version"], made["tags"], made["favourite"]) == (1, ["customers", "mail"], False)
    versions = As(cast.bob).ask("GET", f"{PROMPTS}/letter/versions").json()["data"]
    assert [version["number"] for version in versions] == [1]


def test_the_author_decides_who_sees_a_prompt(cast: Cast) -> None:
    create(cast.bob, slug="mine", visibility="me")
    create(cast.bob, slug="ours", visibility="workspace")
    create(cast.bob, slug="everybodys", visibility="tenant")
    assert slugs(cast.bob) == ["everybodys", "ours", "mine"]
    assert slugs(cast.alice) == ["everybodys", "ours"]
    assert slugs(cast.dana, workspace="ops") == ["everybodys"]
    assert slugs(cast.charlie) == []
    assert As(cast.alice).ask("GET", f"{PROMPTS}/mine").status_code == 404
    assert As(cast.alice).ask("PATCH", f"{PROMPTS}/ours", {"visibility": "tenant"}).status_code == 403


def test_only_the_author_and_managers_change_a_prompt(cast: Cast) -> None:
    create(cast.alice)
    assert As(cast.bob).ask("PATCH", f"{PROMPTS}/letter", {"title": "Mine"}).status_code == 403
    create(cast.bob, slug="bobs")
    assert As(cast.alice).ask("PATCH", f"{PROMPTS}/bobs", {"title": "Better"}).json()["title"] == "Better"
    create(cast.bob, slug="shared", visibility="tenant")
    there = As(cast.dana).ask("PATCH", "workspaces/ops/prompts/shared", {"title": "Mine"})
    assert there.status_code == 403


def test_a_viewer_reads_prompts_and_writes_none(cast: Cast) -> None:
    create(cast.alice)
    WorkspaceMember.objects.filter(user=cast.bob.principal.user_id).update(role="viewer")
    assert slugs(cast.bob) == ["letter"]
    assert create(cast.bob, slug="no").status_code == 403


UNCHANGED = [{"title": "A letter"}, {"tags": ["customers", "MAIL"]}, {"text": LETTER["text"]}]


@pytest.mark.parametrize("change", UNCHANGED)
def test_a_change_that_changes_nothing_leaves_no_trace(cast: Cast, change: dict[str, Any]) -> None:
    before = create(cast.bob).json()
    create(cast.bob, slug="later")
    assert As(cast.bob).ask("PATCH", f"{PROMPTS}/letter", change).json()["updated_at"] == before["updated_at"]
    assert slugs(cast.bob) == ["later", "letter"]
    assert not AuditEntry.objects.filter(action="prompt.changed").exists()


def test_a_description_can_be_cleared_and_a_title_cannot(cast: Cast) -> None:
    create(cast.bob, description="For customers")
    bob = As(cast.bob)
    assert bob.ask("PATCH", f"{PROMPTS}/letter", {"description": ""}).json()["description"] == ""
    for value in ("", "  ", None):
        assert bob.ask("PATCH", f"{PROMPTS}/letter", {"title": value}).status_code == 422


def test_changed_tags_are_in_the_audit(cast: Cast) -> None:
    create(cast.bob)
    As(cast.bob).ask("PATCH", f"{PROMPTS}/letter", {"tags": ["post"]})
    entry = AuditEntry.objects.get(action="prompt.changed")
    assert entry.changes == {"tags": [["customers", "mail"], ["post"]]}


def test_each_change_of_text_is_a_version_that_can_be_restored(cast: Cast) -> None:
    bob = As(cast.bob)
    create(cast.bob)
    assert bob.ask("PATCH", f"{PROMPTS}/letter", {"title": "Letters"}).json()["version"] == 1
    changed = bob.ask("PATCH", f"{PROMPTS}/letter", {"text": "Call {{name}}.", "note": "By phone"})
    assert changed.json()["version"] == 2
    diff = bob.ask("GET", f"{PROMPTS}/letter/diff/1/2").json()["data"]
    assert {"-Write to {{name}}.", "+Call {{name}}."} <= set(diff)
    again = bob.ask("POST", f"{PROMPTS}/letter/rollback", {"version": 1}).json()
    assert (again["version"], again["text"]) == (3, "Write to {{name}}.")
    assert bob.ask("POST", f"{PROMPTS}/letter/rollback", {"version": 9}).status_code == 404
    assert bob.ask("GET", f"{PROMPTS}/letter/diff/1/99999999999999999999").status_code == 404


def test_prompts_are_found_by_text_tag_and_favourites(cast: Cast) -> None:
    create(cast.bob)
    create(cast.bob, slug="poem", title="A poem", text="Rhyme", variables=[], tags=["fun"])
    assert slugs(cast.bob, "?find=rhyme") == ["poem"]
    assert slugs(cast.bob, "?tag=mail") == ["letter"]
    assert As(cast.bob).ask("PUT", f"{PROMPTS}/poem/favourite").status_code == 204
    assert As(cast.bob).ask("PUT", f"{PROMPTS}/poem/favourite").status_code == 204
    assert slugs(cast.bob, "?favourites=true") == ["poem"]
    assert slugs(cast.alice, "?favourites=true") == []
    As(cast.bob).ask("DELETE", f"{PROMPTS}/poem/favourite")
    assert slugs(cast.bob, "?favourites=true") == []


def test_a_search_covers_every_field_and_finds_nothing_private(cast: Cast) -> None:
    create(cast.bob, slug="mine", title="Zebra", visibility="me", tags=["zebra"])
    create(cast.bob, slug="described", description="About a ZEBRA")
    create(cast.bob, slug="tagged", tags=["Zebra"])
    create(cast.alice, slug="zebra-shared", visibility="tenant")
    assert slugs(cast.bob, "?find=zebra") == ["zebra-shared", "tagged", "described", "mine"]
    assert slugs(cast.alice, "?find=zebra") == ["zebra-shared", "tagged", "described"]
    assert slugs(cast.alice, "?tag=zebra") == ["tagged"]
    assert slugs(cast.dana, "?find=zebra", workspace="ops") == ["zebra-shared"]
    assert slugs(cast.charlie, "?find=zebra") == []


def test_favourites_are_personal_and_end_with_visibility(cast: Cast) -> None:
    create(cast.bob, visibility="tenant")
    assert As(cast.dana).ask("PUT", "workspaces/ops/prompts/letter/favourite").status_code == 204
    assert slugs(cast.dana, "?favourites=true", workspace="ops") == ["letter"]
    assert slugs(cast.bob, "?favourites=true") == []
    As(cast.bob).ask("PATCH", f"{PROMPTS}/letter", {"visibility": "workspace"})
    assert slugs(cast.dana, "?favourites=true", workspace="ops") == []
    assert As(cast.dana).ask("PUT", "workspaces/ops/prompts/letter/favourite").status_code == 404


def test_a_roll_back_restores_the_variables_too(cast: Cast) -> None:
    bob = As(cast.bob)
    first = create(cast.bob).json()
    tone = {"name": "name", "type": "choice", "options": ["Ada", "Bea"], "default": "Ada", "required": False}
    bob.ask("PATCH", f"{PROMPTS}/letter", {"variables": [tone]})
    diff = bob.ask("GET", f"{PROMPTS}/letter/diff/1/2").json()["data"]
    assert "-{{name}}: text" in diff
    assert '+{{name}}: choice, optional, default "Ada", options ["Ada", "Bea"]' in diff
    again = bob.ask("POST", f"{PROMPTS}/letter/rollback", {"version": 1}).json()
    assert (again["version"], again["variables"]) == (3, first["variables"])
    versions = bob.ask("GET", f"{PROMPTS}/letter/versions?limit=2").json()
    assert ([row["number"] for row in versions["data"]], versions["has_more"]) == ([3, 2], True)


def test_a_removed_prompts_name_is_free_and_brings_nothing_along(cast: Cast) -> None:
    bob, alice = As(cast.bob), As(cast.alice)
    first = create(cast.bob).json()
    bob.ask("PATCH", f"{PROMPTS}/letter", {"text": "Of Bob alone", "variables": []})
    bob.ask("PUT", f"{PROMPTS}/letter/favourite")
    taken = create(cast.alice)
    assert (code_of(taken), taken.json()["error"]["details"]) == ("conflict", {"slug": "letter"})
    assert bob.ask("DELETE", f"{PROMPTS}/letter").status_code == 204
    assert bob.ask("GET", f"{PROMPTS}/letter").status_code == 404
    second = create(cast.alice, text="Of Alice", variables=[]).json()
    assert (second["id"] == first["id"], second["version"], second["favourite"]) == (False, 1, False)
    assert second["user_id"] == str(cast.alice.principal.user_id)
    assert bob.ask("PATCH", f"{PROMPTS}/letter", {"title": "Mine again"}).status_code == 403
    assert bob.ask("GET", f"{PROMPTS}/{first['id']}").status_code == 404
    assert bob.ask("GET", f"{PROMPTS}/letter").json()["favourite"] is False
    versions = alice.ask("GET", f"{PROMPTS}/letter/versions").json()["data"]
    assert [version["text"] for version in versions] == ["Of Alice"]
    assert alice.ask("GET", f"{PROMPTS}/letter/diff/1/2").status_code == 404
    entries = AuditEntry.objects.filter(action__in=["prompt.created", "prompt.removed"]).order_by("at")
    assert list(entries.values_list("details__id", flat=True)) == [first["id"], first["id"], second["id"]]


def test_the_audit_hides_the_content_of_private_prompts(cast: Cast) -> None:
    bob = As(cast.bob)
    made = create(cast.bob, slug="layoffs", title="Lay off Dana", visibility="me").json()
    bob.ask("PATCH", f"{PROMPTS}/layoffs", {"title": "Dana goes", "description": "By May", "text": "Bye"})
    bob.ask("PATCH", f"{PROMPTS}/layoffs", {"title": "A farewell", "visibility": "workspace"})
    bob.ask("PATCH", f"{PROMPTS}/layoffs", {"title": "Farewell"})
    bob.ask("PATCH", f"{PROMPTS}/layoffs", {"description": "Of Dana", "visibility": "me"})
    bob.ask("DELETE", f"{PROMPTS}/layoffs")
    shown = AuditEntry.objects.filter(action__startswith="prompt.").order_by("at", "id")
    masked = ["***", "***"]
    assert [(entry.target, entry.changes) for entry in shown] == [
        (made["id"], {}),
        (made["id"], {"title": masked, "description": masked, "version": [1, 2]}),
        (made["id"], {"title": masked, "visibility": ["me", "workspace"]}),
        ("layoffs", {"title": ["A farewell", "Farewell"]}),
        (made["id"], {"description": masked, "visibility": ["workspace", "me"]}),
        (made["id"], {}),
    ]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"slug": "Not a slug"}, "slug"),
        ({"slug": "new"}, "slug"),
        ({"slug": "0" * 32}, "slug"),
        ({"slug": "123e4567-e89b-42d3-a456-426614174000"}, "slug"),
        ({"text": "{{nobody}}"}, "text"),
        ({"text": "\0"}, "text"),
        ({"variables": [{"name": "Name"}]}, "text"),
        ({"variables": [{"name": "name", "type": "choice"}]}, "variables.name"),
        ({"variables": [{"name": "name", "type": "number", "default": "x"}]}, "variables.name"),
        ({"variables": [{"name": "name", "type": "number", "default": 10**400}]}, "variables.name"),
        ({"variables": [{"name": "name", "default": "\ud800"}]}, "variables.name"),
        ({"variables": [{"name": "name", "default": {"a": "\ud800"}}]}, "variables.name"),
        ({"variables": "none"}, "variables"),
        ({"visibility": "world"}, "visibility"),
        ({"tags": ["x" * 41]}, "tags"),
    ],
)
def test_invalid_input_is_refused_with_the_field_name(cast: Cast, fields: dict[str, Any], wrong: str) -> None:
    answer = create(cast.bob, **fields)
    assert answer.status_code == 422, answer.content
    assert wrong in answer.json()["error"]["details"]
    assert slugs(cast.bob) == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [("number", 10**400), ("text", "\ud800"), ("multiline", "\udfff"), ("choice", "\ud800")],
    ids=["number", "text", "multiline", "choice"],
)
def test_a_value_that_cannot_be_stored_is_refused_by_variable(cast: Cast, kind: str, value: Any) -> None:
    create(cast.bob, variables=[{"name": "name", "type": kind, "options": ["a"]}])
    bob = As(cast.bob)
    answer = bob.ask("POST", f"{PROMPTS}/letter/render", {"variables": {"name": value}})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["variables.name"])
    change = [{"name": "name", "type": kind, "options": ["a"], "default": value}]
    changed = bob.ask("PATCH", f"{PROMPTS}/letter", {"variables": change})
    assert changed.status_code == 422


def test_a_variable_without_a_name_is_refused_in_a_change_too(cast: Cast) -> None:
    create(cast.alice)
    answer = As(cast.alice).ask("PATCH", f"{PROMPTS}/letter", {"variables": [{"type": "text"}]})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["variables"])


def test_a_prompt_can_be_rendered_without_sending_it(cast: Cast) -> None:
    create(cast.bob)
    shown = As(cast.bob).ask("POST", f"{PROMPTS}/letter/render", {"variables": {"name": "Ada"}}).json()
    assert shown == {"version": 1, "text": "Write to Ada."}
    missing = As(cast.bob).ask("POST", f"{PROMPTS}/letter/render", {})
    assert missing.json()["error"]["details"] == {"variables.name": ["This is required."]}
