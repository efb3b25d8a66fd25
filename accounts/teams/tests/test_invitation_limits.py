"""Limits on mailed invitations, which cannot be circumvented."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.keys import services as api_keys
from accounts.keys.inputs import KeyInput, ServiceAccountInput
from accounts.models import Invitation, InvitationMail
from accounts.teams.invitation_limits import forget_old_counts
from accounts.tests.cast import PASSWORD, Cast, Person
from accounts.tests.mailbox import mails_to
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db
ERIN = "erin@example.com"


@pytest.fixture
def few(settings: Any) -> Any:
    settings.INVITATIONS_PER_DAY, settings.INVITATIONS_PER_RECIPIENT_PER_DAY = 5, 3
    return settings


def invite(person: Person, *emails: str) -> Any:
    return As(person).ask("POST", "tenant/invitations", {"emails": list(emails)})


def proved(person: Person) -> None:
    EmailAddress.objects.update_or_create(
        user=person.user, email=person.user.email, defaults={"verified": True, "primary": True}
    )


def test_inviting_needs_a_verified_address_with_a_mail_server(cast: Cast, settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.com"
    robot = api_keys.create_service_account(
        principal=cast.alice.principal, account=ServiceAccountInput(name="Robot", workspace_role="editor")
    )
    key = api_keys.create_key(
        principal=cast.alice.principal, key=KeyInput(name="K", scopes=["manage"]), for_tenant=True
    ).text
    body = {"emails": [ERIN]}
    assert code_of(invite(cast.alice, ERIN)) == "address_unverified"
    assert code_of(As(credential=key).ask("POST", "tenant/invitations", body)) == "address_unverified"
    client = Client()
    client.post("/accounts/login/", {"login": "alice@example.com", "password": PASSWORD})
    page = "/t/acme/w/sales/members/invitations"
    assert "Confirm your email address first" in client.get(page).content.decode()
    form = {"emails": ERIN, "role": "member", "place_role": "editor", "workspaces": ["sales"]}
    client.post(page, form)
    assert not Invitation.objects.exists()
    assert mail.outbox == []
    proved(cast.alice)
    assert client.post(page, form).status_code == 302
    invitation = Invitation.objects.get()
    EmailAddress.objects.filter(user=cast.alice.user).update(verified=False)
    again = As(cast.alice).ask("POST", f"tenant/invitations/{invitation.id}/resend")
    assert code_of(again) == "address_unverified"
    assert robot.service_of is not None


def test_without_a_mail_server_anyone_may_invite(cast: Cast) -> None:
    assert invite(cast.alice, ERIN).json()["data"][0]["error"] is None


def test_a_list_above_the_teams_limit_is_refused_as_a_whole_with_figures(cast: Cast, few: Any) -> None:
    assert invite(cast.alice, "a@example.com", "b@example.com", "c@example.com").status_code == 201
    refused = invite(cast.alice, "d@example.com", "e@example.com", "f@example.com")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "invitation_limit")
    data = error["details"]
    assert (data["limit"], data["sent"], data["requested"]) == (5, 3, 3)
    assert 86_000 < data["retry_after"] <= 86_400
    assert refused.headers["Retry-After"] == str(data["retry_after"])
    assert Invitation.objects.count() == len(mail.outbox) == 3
    assert invite(cast.alice, "d@example.com", "e@example.com").status_code == 201
    assert invite(cast.charlie, "d@example.com").status_code == 201  # another team's


def test_withdrawing_resending_or_deleting_does_not_lower_the_count(cast: Cast, few: Any) -> None:
    for number in range(3):
        invite(cast.alice, f"p{number}@example.com")
        row = Invitation.objects.get(email=f"p{number}@example.com")
        if number:
            As(cast.alice).ask("POST", f"tenant/invitations/{row.id}/resend")
        As(cast.alice).ask("DELETE", f"tenant/invitations/{row.id}")
        row.delete()
    assert len(mail.outbox) == 5
    assert code_of(invite(cast.alice, "q@example.com")) == "invitation_limit"
    InvitationMail.objects.update(sent_at=timezone.now() - timedelta(hours=25))
    assert invite(cast.alice, "q@example.com").status_code == 201


def test_the_limit_of_an_address_counts_all_teams_and_spares_other_addresses(cast: Cast, few: Any) -> None:
    invite(cast.alice, ERIN)
    row = Invitation.objects.get()
    As(cast.alice).ask("POST", f"tenant/invitations/{row.id}/resend")
    assert invite(cast.charlie, "Erin@EXAMPLE.com").json()["data"][0]["error"] is None
    refused = As(cast.alice).ask("POST", f"tenant/invitations/{row.id}/resend")
    assert (refused.status_code, code_of(refused)) == (429, "invitation_limit")
    As(cast.alice).ask("DELETE", f"tenant/invitations/{row.id}")
    erin, fred = invite(cast.alice, ERIN, "fred@example.com").json()["data"]
    assert (erin["error"]["code"], fred["error"]) == ("invitation_limit", None)
    assert len(mails_to(ERIN)) == 3


def test_plus_addresses_of_one_mailbox_are_one_recipient(cast: Cast, few: Any) -> None:
    answers = [invite(cast.alice, f"erin+{at}@example.com").json()["data"][0]["error"] for at in range(4)]
    assert [error["code"] if error else None for error in answers] == [None, None, None, "invitation_limit"]


def test_recipients_are_stored_as_keyed_hashes_and_deleted(cast: Cast) -> None:
    invite(cast.alice, ERIN)
    row = InvitationMail.objects.get()
    assert "erin" not in str(vars(row))
    InvitationMail.objects.update(sent_at=timezone.now() - timedelta(days=3))
    forget_old_counts()
    assert not InvitationMail.objects.exists()


def test_counting_reads_only_indexes(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as queries:
        invite(cast.alice, ERIN)
    counted = [
        q["sql"] for q in queries.captured_queries if "COUNT" in q["sql"] and "invitationmail" in q["sql"]
    ]
    assert len(counted) == 2
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in counted:
            cursor.execute(f"EXPLAIN {sql}")
            assert "Seq Scan" not in str(cursor.fetchall())
