"""Invitations: mailed, single use, for one address; invite links: limited uses, until they expire."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import (
    AuditEntry,
    Invitation,
    Membership,
    User,
    Workspace,
    WorkspaceLink,
    WorkspaceMember,
)
from accounts.tests.cast import PASSWORD, Cast, Person
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "a quiet harbour at dawn"


class Team(As):
    def invite(self, *emails: str, **fields: Any) -> Any:
        return self.ask("POST", "tenant/invitations", {"emails": list(emails), **fields})


@pytest.fixture
def team(cast: Cast) -> Team:
    return Team(cast.alice)


def mailed_token(kind: str = "invitations", number: int = -1) -> str:
    found = re.search(rf"/{kind}/(\S+)", str(mail.outbox[number].body))
    assert found
    return found[1]


def accept(client: Client, token: str, **fields: Any) -> Any:
    body = {"token": token, "password": NEW_PASSWORD, "name": "Erin", **fields}
    return client.post("/v1/auth/invitations/accept", body, content_type="application/json")


def test_a_new_person_accepts_and_joins_the_invited_workspaces(team: Team, client: Client) -> None:
    places = [{"workspace": "sales", "role": "viewer"}]
    answer = team.invite("erin@example.com", role="guest", workspaces=places)
    assert answer.status_code == 201
    (data,) = answer.json()["data"]
    assert data["error"] is None
    assert data["invitation"]["workspaces"] == places
    token = mailed_token()
    look = client.post("/v1/auth/invitations/look", {"token": token}, content_type="application/json").json()
    assert (look["email"], look["has_account"], look["workspaces"]) == ("erin@example.com", False, ["Sales"])
    tokens = accept(client, token)
    assert tokens.status_code == 200, tokens.content
    assert tokens.json()["workspaceId"] == "sales"
    erin = User.objects.get(email="erin@example.com")
    assert Membership.objects.get(user=erin).role == "guest"
    assert WorkspaceMember.objects.get(user=erin).role == "viewer"
    assert EmailAddress.objects.get(user=erin).verified
    actions = set(AuditEntry.objects.filter(target="erin@example.com").values_list("action", flat=True))
    assert {"invitation.sent", "invitation.accepted", "user.signed_up"} <= actions


def test_the_mail_names_the_inviter_in_text_and_html(team: Team) -> None:
    team.invite("erin@example.com")
    (message,) = mail.outbox
    html = message.alternatives[0].content  # type: ignore[attr-defined]
    assert message.to == ["erin@example.com"]
    assert "Acme" in message.subject
    assert mailed_token() in html
    assert mailed_token() in message.body


def test_markup_in_names_is_escaped_in_the_mail(team: Team, cast: Cast) -> None:
    User.objects.filter(id=cast.alice.user.id).update(name="<b>Ann</b>\n & Co")
    team.invite("erin@example.com")
    html = mail.outbox[0].alternatives[0].content  # type: ignore[attr-defined]
    assert "<b>Ann" not in html
    assert "&lt;b&gt;Ann" in html
    assert "\n" not in mail.outbox[0].subject


def test_an_invitation_works_once(team: Team, client: Client) -> None:
    team.invite("erin@example.com")
    token = mailed_token()
    assert accept(client, token).status_code == 200
    again = accept(client, token)
    assert (again.status_code, code_of(again)) == (404, "invitation_invalid")


def test_only_a_hash_of_the_secret_is_stored(team: Team) -> None:
    team.invite("erin@example.com")
    secret = mailed_token().partition(".")[2]
    row = Invitation.objects.get()
    assert secret not in str(vars(row))
    assert not AuditEntry.objects.filter(details__icontains=secret).exists()


def test_an_expired_invitation_is_refused_until_resent(team: Team, client: Client) -> None:
    team.invite("erin@example.com")
    old = mailed_token()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert accept(client, old).status_code == 404
    answer = team.ask("POST", f"tenant/invitations/{Invitation.objects.get().id}/resend")
    assert (answer.status_code, answer.json()["times_sent"]) == (200, 2)
    assert accept(client, old).status_code == 404
    assert accept(client, mailed_token()).status_code == 200


def test_a_withdrawn_invitation_is_refused(team: Team, client: Client) -> None:
    team.invite("erin@example.com")
    assert team.ask("DELETE", f"tenant/invitations/{Invitation.objects.get().id}").status_code == 204
    assert accept(client, mailed_token()).status_code == 404
    assert team.ask("GET", "tenant/invitations").json()["data"] == []


def test_another_tenants_invitation_is_not_found(team: Team, client: Client, cast: Cast) -> None:
    team.invite("erin@example.com")
    other = Team(cast.charlie)
    invitation = Invitation.objects.get().id
    assert other.ask("DELETE", f"tenant/invitations/{invitation}").status_code in {403, 404}
    assert other.ask("POST", f"tenant/invitations/{invitation}/resend").status_code in {403, 404}


def test_accepting_with_a_present_account_needs_its_password(team: Team, client: Client, cast: Cast) -> None:
    charlie = cast.charlie.user
    team.invite(charlie.email.upper())
    wrong = accept(client, mailed_token(), password="not this one")
    assert (wrong.status_code, code_of(wrong)) == (401, "credentials_invalid")
    right = accept(client, mailed_token(), password=PASSWORD)
    assert (right.status_code, right.json()["tenantId"]) == (200, "acme")
    assert right.json()["userId"] == str(charlie.id)


@pytest.mark.parametrize(
    "email", ["ｅrin@example.com", "еrin@example.com", "erin@", "x" * 400, "a@b@c", "\0@x.de"]
)
def test_an_invalid_address_is_reported_and_the_others_are_invited(team: Team, email: str) -> None:
    answer = team.invite(email, "erin@example.com")
    if answer.status_code == 422:
        assert "emails" in answer.json()["error"]["details"]
        return
    bad, good = answer.json()["data"]
    assert (bad["error"]["code"], good["error"]) == ("invalid_input", None)
    assert [row.email for row in Invitation.objects.all()] == ["erin@example.com"]


def test_case_and_international_domains_are_one_address(team: Team) -> None:
    first, second, third = team.invite("Erin@EXAMPLE.com", "erin@example.com", "erin@bücher.example").json()[
        "data"
    ]
    assert first["email"] == "erin@example.com"
    assert second["error"]["code"] == "conflict"
    assert third["email"] == "erin@xn--bcher-kva.example"


def test_members_and_invited_addresses_are_reported(team: Team, cast: Cast) -> None:
    team.invite("erin@example.com")
    again, member = team.invite("erin@example.com", cast.bob.user.email).json()["data"]
    assert (again["error"]["code"], member["error"]["code"]) == ("conflict", "conflict")


def test_no_one_is_invited_as_owner(team: Team) -> None:
    assert team.invite("erin@example.com", role="owner").status_code == 422


def test_an_archived_workspace_cannot_be_joined(team: Team, client: Client, cast: Cast) -> None:
    annex = Workspace.objects.create(tenant_id=cast.alice.principal.tenant.id, slug="annex", name="Annex")
    team.invite("erin@example.com", workspaces=[{"workspace": "annex"}])
    Workspace.objects.filter(id=annex.id).update(archived_at=timezone.now())
    answer = accept(client, mailed_token())
    assert (answer.status_code, code_of(answer)) == (404, "invitation_invalid")
    assert not User.objects.filter(email="erin@example.com").exists()
    late = team.invite("fred@example.com", workspaces=[{"workspace": "annex"}])
    assert late.status_code == 422


@pytest.mark.slow
def test_a_million_are_refused(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    assert team.invite(*[f"p{n}@example.com" for n in range(101)]).status_code == 422
    million = {"emails": ["a@example.com"] * 1_000_000}  # at the ASGI edge its size alone is refused
    assert team.ask("POST", "tenant/invitations", million).status_code == 422
    monkeypatch.setattr("accounts.teams.invitations.MOST_OPEN", 2)
    assert code_of(team.invite("a@example.com", "b@example.com", "c@example.com")) == "conflict"
    assert not Invitation.objects.exists()


def test_an_invitation_is_sent_at_most_five_times(team: Team) -> None:
    team.invite("erin@example.com")
    Invitation.objects.update(times_sent=5)
    assert team.ask("POST", f"tenant/invitations/{Invitation.objects.get().id}/resend").status_code == 409


def test_a_new_account_needs_a_name_and_a_good_password(team: Team, client: Client) -> None:
    team.invite("erin@example.com")
    assert accept(client, mailed_token(), name="  ").status_code == 422
    assert accept(client, mailed_token(), password="short").status_code == 422
    assert accept(client, mailed_token(), name="x" * 10_000).status_code == 422
    assert accept(client, mailed_token(), name="<script>").status_code == 200


@pytest.mark.parametrize(
    "token", ["", "acme", "acme.", ".x", "nobody.x", "acme.\ud800", "acme." + "x" * 150, "acme.\0"]
)
def test_an_invalid_token_is_refused(team: Team, client: Client, token: str) -> None:
    for route in ("invitations/look", "links/look"):
        answer = client.post(f"/v1/auth/{route}", {"token": token}, content_type="application/json")
        assert answer.status_code in {400, 404, 422}, route


def open_link(team: Team, **fields: Any) -> str:
    answer = team.ask("PUT", "workspaces/sales/link", fields)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["url"]).rpartition("/")[2]


def join_by_link(client: Client, token: str, person: Person, password: str = PASSWORD) -> Any:
    body = {"token": token, "email": person.user.email, "password": password}
    return client.post("/v1/auth/links/join", body, content_type="application/json")


@pytest.fixture
def proved(cast: Cast) -> None:
    EmailAddress.objects.update_or_create(
        user=cast.charlie.user, email=cast.charlie.user.email, defaults={"verified": True, "primary": True}
    )


@pytest.mark.usefixtures("proved")
def test_a_link_works_for_its_number_of_uses(team: Team, client: Client, cast: Cast) -> None:
    token = open_link(team, most_uses=1, role="viewer")
    assert join_by_link(client, token, cast.charlie).json()["tenantId"] == "acme"
    assert join_by_link(client, token, cast.charlie).status_code == 404  # used up
    assert WorkspaceLink.objects.get().uses == 1
    assert (
        WorkspaceMember.objects.get(user=cast.charlie.user, workspace__tenant__slug="acme").role == "viewer"
    )


@pytest.mark.usefixtures("proved")
def test_a_present_member_uses_nothing_up(team: Team, client: Client, cast: Cast) -> None:
    token = open_link(team, most_uses=2)
    join_by_link(client, token, cast.charlie)
    join_by_link(client, token, cast.charlie)
    assert WorkspaceLink.objects.get().uses == 1


@pytest.mark.usefixtures("proved")
def test_a_link_ends_when_expired_replaced_or_turned_off(team: Team, client: Client, cast: Cast) -> None:
    first = open_link(team)
    second = open_link(team)
    assert join_by_link(client, first, cast.charlie).status_code == 404
    WorkspaceLink.objects.update(expires_at=timezone.now())
    assert join_by_link(client, second, cast.charlie).status_code == 404
    third = open_link(team)
    assert team.ask("DELETE", "workspaces/sales/link").status_code == 204
    assert join_by_link(client, third, cast.charlie).status_code == 404
    assert team.ask("GET", "workspaces/sales/link").status_code == 404


def test_a_link_needs_a_verified_address(team: Team, client: Client, cast: Cast) -> None:
    EmailAddress.objects.filter(user=cast.charlie.user).update(verified=False)
    assert code_of(join_by_link(client, open_link(team), cast.charlie)) == "address_unverified"


def test_no_link_makes_managers(team: Team) -> None:
    assert team.ask("PUT", "workspaces/sales/link", {"role": "manager"}).status_code == 422
