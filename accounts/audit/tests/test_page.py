"""The page of the audit."""

import pytest
from django.test import Client

from accounts.audit import services as audit
from accounts.tests.cast import Cast

pytestmark = pytest.mark.django_db


def test_a_change_of_any_json_value_is_shown(cast: Cast) -> None:
    changes = {"defaults": [{}, {"temperature": 0.5}], "enabled": [False, True], "tags": [None, ["a", "b"]]}
    audit.record("language_model.changed", principal=cast.alice.principal, changes=changes)
    client = Client()
    client.force_login(cast.alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    page = client.get("/t/acme/w/sales/settings/audit?action=language_model.changed")
    assert sorted(page.context["entries"].rows[0].shown_changes) == [
        ("defaults", "{}", "{'temperature': 0.5}"),
        ("enabled", "no", "yes"),
        ("tags", "none", "a, b"),
    ]
