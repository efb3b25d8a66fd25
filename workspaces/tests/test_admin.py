"""Operators enable and disable the language models of the tenant that they have opened, and see no key."""

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
SECRET = "sk-a-key-that-nobody-may-see"


def test_a_model_is_disabled_and_that_is_audited_with_its_place(cast: Cast) -> None:
    place = cast.bob.principal
    with tenant_scope(place.tenant):
        model = LanguageModel.objects.get(workspace_id=place.workspace.id)
    client, page = desk(tenant="acme"), address(LanguageModel, "change", model.pk)
    client.post(page, {**fields_of(client.get(page)), "enabled": "", "slug": "other"})
    with tenant_scope(place.tenant):
        changed = LanguageModel.objects.get(pk=model.pk)
    told = AuditEntry.objects.get(action="language_model.changed")
    assert (changed.enabled, changed.slug) == (False, model.slug)
    assert told.changes == {"enabled": [True, False]}
    assert (told.tenant.slug, told.workspace.slug, told.target) == ("acme", "sales", model.slug)


def test_the_list_names_the_workspaces_in_one_query_whatever_its_length(cast: Cast) -> None:
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
    place = cast.bob.principal
    with tenant_scope(place.tenant):
        return add_credential(workspace_id=place.workspace.id, name=name, kind="openai", key=key)


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


def test_the_list_of_credentials_reads_no_key_and_says_which_has_one(cast: Cast) -> None:
    add_key(cast)
    add_key(cast, "keyless", "")
    client, page = desk(tenant="acme"), address(ProviderCredential, "changelist")
    assert not [query for query in queries_of(client, page) if '"sealed_key",' in query]
    shown = client.get(page).content.decode()
    assert (shown.count('alt="True"'), shown.count('alt="False"')) == (1, 1)


def test_a_credential_can_neither_be_added_nor_changed_nor_deleted(cast: Cast) -> None:
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


def test_credentials_are_seen_only_in_the_tenant_that_is_open(cast: Cast) -> None:
    credential = add_key(cast)
    assert (
        "our key" not in desk(tenant="globex").get(address(ProviderCredential, "changelist")).content.decode()
    )
    assert desk().get(address(ProviderCredential, "changelist")).status_code == 403
    assert desk(tenant="globex").get(address(ProviderCredential, "change", credential.pk)).status_code != 200


def test_a_model_shows_its_credential_and_fallback_and_keeps_them(cast: Cast) -> None:
    credential, place = add_key(cast), cast.bob.principal
    with tenant_scope(place.tenant):
        install_model(
            credential=credential, slug="gpt-4", upstream_name="x", context_window=9000, output_bound=100
        )
        set_fallback(workspace_id=place.workspace.id, slug="gpt-4", fallback="local")
        model = LanguageModel.objects.get(slug="gpt-4")
    client, page = desk(tenant="acme"), address(LanguageModel, "change", model.pk)
    shown = client.get(page).content.decode()
    assert "our key" in shown
    assert ">local<" in shown
    client.post(page, {**fields_of(client.get(page)), "credential": "", "fallback": ""})
    with tenant_scope(place.tenant):
        kept = LanguageModel.objects.get(pk=model.pk)
    assert (kept.credential_id, kept.fallback_id) == (model.credential_id, model.fallback_id)


@pytest.mark.parametrize("model", [EngineAccount, EngineCheck])
def test_nothing_shows_engine_accounts(model: type[Model]) -> None:
    assert not site.is_registered(model)
