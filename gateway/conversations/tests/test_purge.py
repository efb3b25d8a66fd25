"""After a grace period: deleted workspaces are emptied, and leavers' private things are gone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Departure, Tenant, Workspace, WorkspaceMember
from accounts.tests.cast import Cast, Person
from accounts.tests.requests_as import As
from gateway.conversations.purge import end_graces
from gateway.models import Conversation, Turn
from gateway.tests.stored import store_turn
from kit.tenancy import tenant_scope
from workspaces.language_models.models import LanguageModel
from workspaces.prompts.models import Prompt, PromptVersion

pytestmark = pytest.mark.django_db


def conversations_of(person: Person) -> list[bool]:
    """Whether each is shared."""
    with tenant_scope(person.principal.tenant):
        mine = Conversation.objects.filter(user_id=person.principal.user_id).order_by("created_at")
        return list(mine.values_list("is_shared", flat=True))


def test_a_deleted_workspace_is_emptied_when_its_grace_is_over(cast: Cast) -> None:
    store_turn(cast.dana)
    store_turn(cast.bob)
    As(cast.alice).ask("DELETE", "workspaces/ops")
    end_graces()
    assert len(conversations_of(cast.dana)) == 1
    Workspace.objects.filter(slug="ops").update(delete_after=timezone.now())
    end_graces()
    assert conversations_of(cast.dana) == []
    assert len(conversations_of(cast.bob)) == 1
    ops = Workspace.objects.get(slug="ops")
    with tenant_scope(cast.dana.principal.tenant):
        assert not LanguageModel.objects.filter(workspace_id=ops.id).exists()
        assert not Turn.objects.filter(workspace_id=ops.id).exists()
    assert not WorkspaceMember.objects.filter(workspace=ops).exists()
    assert AuditEntry.objects.get(action="workspace.emptied").details == {"conversations": 1}
    assert [row["id"] for row in As(cast.alice).ask("GET", "workspaces").json()["data"]] == ["sales"]
    assert As(cast.alice).ask("PATCH", "workspaces/ops", {"archived": False}).status_code == 404


def test_a_restored_workspace_keeps_everything(cast: Cast) -> None:
    store_turn(cast.dana)
    As(cast.alice).ask("DELETE", "workspaces/ops")
    As(cast.alice).ask("PATCH", "workspaces/ops", {"archived": False})
    end_graces()
    assert len(conversations_of(cast.dana)) == 1


@pytest.mark.parametrize(("rule", "left"), [("keep", [False, True]), ("delete", [True])])
def test_a_leavers_private_conversations_follow_the_rule(cast: Cast, rule: str, left: list[bool]) -> None:
    Tenant.objects.filter(slug="acme").update(departed_conversations=rule)
    store_turn(cast.bob)
    store_turn(cast.bob)
    with tenant_scope(cast.bob.principal.tenant):
        latest = Conversation.objects.order_by("-created_at").first()
        Conversation.objects.filter(pk=latest.pk).update(is_shared=True)  # type: ignore[union-attr]
    As(cast.alice).ask("DELETE", f"tenant/members/{cast.bob.principal.user_id}")
    Departure.objects.update(delete_after=timezone.now() + timedelta(days=1))
    end_graces()
    assert conversations_of(cast.bob) == [False, True]
    Departure.objects.update(delete_after=timezone.now())
    end_graces()
    assert conversations_of(cast.bob) == left
    assert not Departure.objects.exists()


@pytest.mark.parametrize(("rule", "left"), [("keep", ["mine", "ours"]), ("delete", ["ours"])])
def test_a_leavers_private_prompts_go_with_their_conversations(
    cast: Cast, rule: str, left: list[str]
) -> None:
    Tenant.objects.filter(slug="acme").update(departed_conversations=rule)
    for slug, visibility in (("mine", "me"), ("ours", "workspace")):
        wish = {"slug": slug, "title": "T", "text": f"Of {slug}", "visibility": visibility}
        assert As(cast.bob).ask("POST", "workspaces/sales/prompts", wish).status_code == 201
    As(cast.alice).ask("DELETE", f"tenant/members/{cast.bob.principal.user_id}")
    end_graces()
    assert prompts_of(cast.bob) == ["mine", "ours"]
    Departure.objects.update(delete_after=timezone.now())
    end_graces()
    assert prompts_of(cast.bob) == left
    again = {"slug": "mine", "title": "T", "text": "Anew"}
    status = 201 if rule == "delete" else 409  # what is deleted frees its name
    assert As(cast.alice).ask("POST", "workspaces/sales/prompts", again).status_code == status
    forgotten = AuditEntry.objects.filter(action="member.conversations_deleted")
    assert [entry.details["prompts"] for entry in forgotten] == [1] * (rule == "delete")


def prompts_of(person: Person) -> list[str]:
    """Those of which anything is left beside the name."""
    with tenant_scope(person.principal.tenant):
        written = PromptVersion.objects.filter(user_id=person.principal.user_id).order_by("prompt__slug")
        rows = Prompt.objects.filter(user_id=person.principal.user_id).exclude(title="", text="")
        slugs = list(rows.order_by("slug").values_list("slug", flat=True))
        assert [version.text for version in written] == [f"Of {slug}" for slug in slugs]
        return slugs
