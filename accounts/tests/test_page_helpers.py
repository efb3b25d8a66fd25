"""Buttons and forms of pages: a refusal is shown where it belongs, and nothing is done."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from accounts.models import WorkspaceMember
from accounts.tests.cast import Cast

pytestmark = pytest.mark.django_db
SETTINGS = "/t/acme/w/sales/settings"


@pytest.fixture
def alice(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    return client


def flashed(answer: Any) -> list[tuple[str, str]]:
    return [(message.level_tag, message.message) for message in get_messages(answer.wsgi_request)]


def test_a_button_refuses_invalid_input_and_goes_back(alice: Client, cast: Cast) -> None:
    answer = alice.post(f"{SETTINGS}/workspaces/sales/members", {"user": "nobody", "role": "editor"})
    assert answer.url == f"{SETTINGS}/workspaces/sales"
    ((level, _),) = flashed(answer)
    assert level == "error"


def test_a_button_shows_why_its_service_refused(alice: Client, cast: Cast) -> None:
    answer = alice.post(f"/t/acme/w/sales/members/{cast.alice.principal.user_id}/role", {"role": "admin"})
    assert answer.url == "/t/acme/w/sales/members"
    ((level, text),) = flashed(answer)
    assert (level, "owner" in text) == ("error", True)


def test_a_button_answers_only_post(alice: Client, cast: Cast) -> None:
    assert alice.get(f"{SETTINGS}/workspaces/sales/archive").status_code == 405


def test_a_button_uses_the_workspace_in_the_url(alice: Client, cast: Cast) -> None:
    bob = cast.bob.principal.user_id
    answer = alice.post(f"{SETTINGS}/workspaces/ops/members", {"user": str(bob), "role": "viewer"})
    assert answer.url == f"{SETTINGS}/workspaces/ops"
    assert WorkspaceMember.objects.get(user=bob, workspace__slug="ops").role == "viewer"


def test_closing_the_current_workspace_leads_to_the_home_page(alice: Client, cast: Cast) -> None:
    assert alice.post(f"{SETTINGS}/workspaces/ops/default").status_code == 302
    answer = alice.post(f"{SETTINGS}/workspaces/sales/archive")
    assert answer.url == "/"


def test_a_form_shows_a_refusal_at_its_field(alice: Client, cast: Cast) -> None:
    answer = alice.post(f"{SETTINGS}/workspaces/sales", {"name": ""})
    assert answer.status_code == 200
    assert answer.context["form"].errors["name"]
