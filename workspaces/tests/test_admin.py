"""Operators enable and disable the language models of the tenant that they have opened."""

import pytest

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from accounts.tests.operators import address, desk, fields_of, queries_of
from kit.tenancy import tenant_scope
from workspaces.models import LanguageModel

pytestmark = pytest.mark.django_db


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
    assert told.details["changes"] == {"enabled": [True, False]}
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
