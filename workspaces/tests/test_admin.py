"""Operators enable and disable the language models of the opened tenant, and never see a key."""

import pytest
from django.contrib.admin import site
from django.db.models import Model

from accounts.models import AuditEntry, EngineAccount, EngineCheck
from accounts.tests.cast import Cast
from accounts.tests.operators import address, desk, fields_of, queries_of
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential, install_model, set_fallback
from workspaces.models import LanguageModel, ProviderCredential

pytestmark = pytest.mark.django_db
SECRET = "sk-a-key-that-no-one-may-see"


def test_disabling_a_model_is_audited_with_tenant_and_workspace(cast: Cast) -> None:
    bob = cast.bob.principal
    with tenant_scope(bob.tenant):
        model = LanguageModel.objects.get(workspace_id=bob.workspace.id, slug="local")
    client, page = desk(tenant="acme"), address(LanguageModel, "change", model.pk)
    client.post(page, {**fields_of(client.get(page)), "enabled": "", "slug": "other"})
    with tenant_scope(bob.tenant):
        changed = LanguageModel.objects.get(pk=model.pk)
    entry = AuditEntry.objects.get(action="language_model.changed")
    assert (changed.enabled, changed.slug) == (False, model.slug)
    assert entry.changes == {"enabled": [True, False]}
    assert (entry.tenant.slug, entry.workspace.slug, entry.target) == ("acme", "sales", model.slug)


def test_the_list_reads_all_workspace_names_in_one_query(cast: Cast) -> None:
    client, page = desk(tenant="acme"), address(LanguageModel, "changelist")
    before = len(queries_of(client, page))
    with tenant_scope(cast.bob.principal.tenant):
        for number in range(5):
            model = LanguageModel.objects.first()
            assert model is not None
            model.pk, model.slug = None, f"copy-{number}"
            model._state.adding = True
            model.id = LanguageModel._meta.pk.get_default()
            model.save()
    assert len(queries_of(client, page)) == before
    assert "ops" in client.get(page).content.decode()


def add_key(cast: Cast, name: str = "our key", key: str = SECRET) -> ProviderCredential:
    bob = cast.bob.principal
    with tenant_scope(bob.tenant):
        return add_credential(workspace_id=bob.workspace.id, name=name, kind="openai", key=key)


def test_a_credential_is_shown_without_its_key(cast: Cast) -> None:
    credential, client = add_key(cast), desk(tenant="acme")
    pages = [
        client.get(address(ProviderCredential, "changelist")).content.decode(),
        client.get(address(ProviderCredential, "change", credential.pk)).content.decode(),
    ]
    for page in pages:
        assert "our key" in page
        assert "https://api.openai.com/v1" in page
        assert "sales" in page
        assert SECRET not in page
        assert credential.sealed_key not in page


def test_the_list_of_credentials_shows_which_have_a_key_without_reading_any(cast: Cast) -> None:
    add_key(cast)
    add_key(cast, "keyless", "")
    client, page = desk(tenant="acme"), address(ProviderCredential, "changelist")
    assert not [query for query in queries_of(client, page) if '"sealed_key",' in query]
    shown = client.get(page).content.decode()
    assert (shown.count('alt="True"'), shown.count('alt="False"')) == (1, 1)


def test_credentials_cannot_be_added_changed_or_deleted(cast: Cast) -> None:
    credential, client = add_key(cast), desk(tenant="acme")
    change = address(ProviderCredential, "change", credential.pk)
    answers = [
        client.post(address(ProviderCredential, "add"), {"name": "other"}),
        client.post(change, {"name": "other", "base_url": "https://evil.example"}),
        client.post(address(ProviderCredential, "delete", credential.pk), {"post": "yes"}),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    with tenant_scope(cast.bob.principal.tenant):
        assert ProviderCredential.objects.get().name == "our key"


def test_credentials_are_shown_only_in_the_opened_tenant(cast: Cast) -> None:
    credential = add_key(cast)
    assert (
        "our key" not in desk(tenant="globex").get(address(ProviderCredential, "changelist")).content.decode()
    )
    assert desk().get(address(ProviderCredential, "changelist")).status_code == 403
    assert desk(tenant="globex").get(address(ProviderCredential, "change", credential.pk)).status_code != 200


def test_a_models_credential_and_fallback_are_read_only(cast: Cast) -> None:
    credential, bob = add_key(cast), cast.bob.principal
    with tenant_scope(bob.tenant):
        install_model(
            credential=credential, slug="gpt-4", upstream_name="x", context_window=9000, output_bound=100
        )
        set_fallback(workspace_id=bob.workspace.id, slug="gpt-4", fallback="local")
        model = LanguageModel.objects.get(slug="gpt-4")
    client, page = desk(tenant="acme"), address(LanguageModel, "change", model.pk)
    shown = client.get(page).content.decode()
    assert "our key" in shown
    assert ">local<" in shown
    client.post(page, {**fields_of(client.get(page)), "credential": "", "fallback": ""})
    with tenant_scope(bob.tenant):
        stored = LanguageModel.objects.get(pk=model.pk)
    assert (stored.credential_id, stored.fallback_id) == (model.credential_id, model.fallback_id)


@pytest.mark.parametrize("model", [EngineAccount, EngineCheck])
def test_engine_accounts_are_not_in_the_admin(model: type[Model]) -> None:
    assert not site.is_registered(model)
