"""The pages of models: installing with a new or an existing credential, enabling, removing."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import WorkspaceMember
from accounts.tests.cast import Cast, Person
from accounts.tests.filled import filled
from accounts.tests.requests_as import As
from kit.tenancy import tenant_scope
from workspaces.language_models import forms
from workspaces.models import LanguageModel, ProviderCredential

pytestmark = pytest.mark.django_db
KEY = "sk-very-secret"
FORM = {
    "name": "GPT",
    "slug": "gpt",
    "upstream_name": "gpt-x",
    "context_window": "1000",
    "output_bound": "100",
    "abilities": ["tools"],
    "credential": "new",
    "kind": "openai",
    "credential_name": "Ours",
    "key": KEY,
}


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user)
    return client


def page(client: Client, path: str = "models", **sent: Any) -> str:
    path_ = f"/t/acme/w/sales/{path}"
    answer = client.post(path_, sent, follow=True) if sent else client.get(path_)
    return str(answer.content.decode())


def credential(cast: Cast) -> ProviderCredential:
    with tenant_scope(cast.alice.principal.tenant):
        return ProviderCredential.objects.get()


def test_a_model_is_installed_enabled_and_removed(cast: Cast) -> None:
    alice, bob = browser(cast.alice), browser(cast.bob)
    text = page(alice, "models/install/", **FORM)
    assert "Model installed." in text
    assert KEY not in text
    assert "<code>gpt</code>" not in page(bob)
    page(alice, "models/change/", models=["gpt"], enabled="1")
    assert "<code>gpt</code>" in page(bob)
    page(alice, "models/gpt/remove", go="1")
    assert "<code>gpt</code>" not in page(alice)


def test_a_name_is_normalised_by_rest_and_by_the_form(cast: Cast) -> None:
    page(browser(cast.alice), "models/install/", **FORM | {"name": " a    b", "credential_name": "c  d"})
    alice = As(cast.alice)
    assert alice.ask("GET", "workspaces/sales/models/gpt").json()["name"] == "a b"
    assert alice.ask("PATCH", "workspaces/sales/models/gpt", {"name": "e\t f"}).json()["name"] == "e f"
    assert [row["name"] for row in alice.ask("GET", "workspaces/sales/credentials").json()["data"]] == ["c d"]


def test_a_second_model_uses_the_stored_key(cast: Cast) -> None:
    alice = browser(cast.alice)
    page(alice, "models/install/", **FORM)
    page(
        alice,
        "models/install/",
        **FORM | {"slug": "other", "key": "", "credential": str(credential(cast).id)},
    )
    assert "<code>other</code>" in page(alice)


def test_a_refused_model_leaves_no_credential(cast: Cast) -> None:
    text = page(browser(cast.alice), "models/install/", **FORM | {"output_bound": "2000"})
    assert "The reply limit must be smaller than the context window." in text
    with tenant_scope(cast.alice.principal.tenant):
        assert not ProviderCredential.objects.exists()


def test_a_credential_in_use_cannot_be_removed(cast: Cast) -> None:
    alice = browser(cast.alice)
    page(alice, "models/install/", **FORM)
    assert "is used by gpt" in page(alice, f"credentials/{credential(cast).id}/remove", go="1")


def access_of(cast: Cast, slug: str = "local") -> Any:
    with tenant_scope(cast.alice.principal.tenant):
        return LanguageModel.objects.get(slug=slug, workspace_id=cast.alice.principal.workspace.id).access


def limit(cast: Cast, **access: Any) -> None:
    answer = As(cast.alice).ask("PATCH", "workspaces/sales/models/local", {"access": access})
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("side", ["allow", "deny"])
def test_an_unchanged_form_keeps_every_named_member(
    cast: Cast, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST_OFFERED", 1)  # alice only: bob is beyond the list
    limit(cast, **{side: {"roles": [], "members": [str(cast.bob.principal.user_id)]}})
    before, alice = access_of(cast), browser(cast.alice)
    for _ in ("bob is here", "bob left"):
        form = filled(page(alice, "models/local"), "temperature")
        assert "Saved." in page(alice, "models/local", **form | {"temperature": ["0.5"]})
        assert access_of(cast) == before
        WorkspaceMember.objects.filter(user=cast.bob.principal.user_id).delete()
    assert "Bob (no longer a member)" in page(alice, "models/local")


def test_a_restricted_model_opens_only_if_that_is_confirmed(cast: Cast) -> None:
    limit(cast, allow={"roles": ["manager"]})
    alice = browser(cast.alice)
    form = filled(page(alice, "models/local"), "temperature")
    del form["allow_roles"]
    assert "everyone could use this model" in page(alice, "models/local", **form)
    assert access_of(cast)["allow"]["roles"] == ["manager"]
    assert "Saved." in page(alice, "models/local", **form | {"everybody": ["on"]})
    assert access_of(cast) == {}
    assert "Open to everyone" not in page(alice, "models/local")


def test_a_member_cannot_change_models(cast: Cast) -> None:
    bob = browser(cast.bob)
    assert "Install a model" not in page(bob)
    for path in ("models/install/", "models/change/", "models/local/remove"):
        assert bob.post(f"/t/acme/w/sales/{path}", FORM).status_code == 403
