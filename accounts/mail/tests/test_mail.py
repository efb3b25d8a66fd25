"""Mail: queued in its transaction, sent by a job over real SMTP, tried again, no secret in a log."""

import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core.mail import EmailMessage
from django.db import transaction
from django.test import Client
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.mail.queue import MOST_ATTEMPTS, MailNotSent, deliver_mail, forget_old_mail, read_bodies
from accounts.mail.services import send_mail
from accounts.models import OutgoingMail
from kit.tests.ports import free_port

pytestmark = pytest.mark.django_db
SECRET = "acme.a-secret-that-opens-a-door"
CONTEXT = {"tenant": "Acme", "inviter": "Alice", "days": 7, "url": f"http://x/invitations/{SECRET}"}


class MailServer:
    """Stores accepted mails, and answers as set up."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("2"):
            self.taken.append(envelope)
        return self.answer


@pytest.fixture
def post(settings: Any) -> Iterator[MailServer]:
    handler = MailServer()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "accounts.mail.queue.QueueBackend"
    settings.MAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_USE_TLS = "127.0.0.1", False
    settings.EMAIL_PORT = controller.port
    settings.DEVELOPMENT = False
    yield handler
    controller.stop()


def queued() -> OutgoingMail:
    send_mail("invitation", "erin@example.com", CONTEXT)
    return OutgoingMail.objects.get()


def deliver(row: OutgoingMail) -> OutgoingMail:
    deliver_mail(mail_id=str(row.id))
    row.refresh_from_db()
    return row


def test_a_mail_is_sent_as_text_and_html(post: MailServer) -> None:
    row = deliver(queued())
    (envelope,) = post.taken
    assert envelope.rcpt_tos == ["erin@example.com"]
    assert b"multipart/alternative" in envelope.content
    assert SECRET.encode() in envelope.content
    assert (row.sent_at is not None, row.attempts, row.last_error) == (True, 1, "")


def test_the_text_is_sealed_in_the_queue_and_wiped_once_sent(post: MailServer) -> None:
    row = queued()
    assert SECRET not in row.sealed_message
    assert SECRET in read_bodies(row)["text"]
    assert deliver(row).sealed_message == ""


def test_the_job_has_only_an_id(post: MailServer) -> None:
    row = queued()
    job = ProcrastinateJob.objects.get(task_name="accounts.deliver_mail")
    assert job.args == {"mail_id": str(row.id)}


def test_a_rolled_back_transaction_sends_nothing(post: MailServer) -> None:
    with transaction.atomic():
        send_mail("invitation", "erin@example.com", CONTEXT)
        transaction.set_rollback(True)
    assert not OutgoingMail.objects.exists()
    assert not ProcrastinateJob.objects.filter(task_name="accounts.deliver_mail").exists()


def test_a_deferred_mail_is_tried_again(post: MailServer) -> None:
    row = queued()
    post.answer = "451 Try later"
    with pytest.raises(MailNotSent):
        deliver(row)
    row.refresh_from_db()
    assert (row.attempts, row.last_error, row.failed_at) == (1, "451 Try later", None)
    post.answer = "250 OK"
    assert deliver(row).sent_at is not None
    assert len(post.taken) == 1


def test_an_unavailable_server_is_tried_again(post: MailServer, settings: Any) -> None:
    row = queued()
    settings.EMAIL_PORT = 1
    with pytest.raises(MailNotSent):
        deliver(row)


def test_a_permanent_refusal_ends_the_mail(post: MailServer) -> None:
    row = queued()
    post.answer = "550 No such person"
    assert deliver(row).failed_at is not None
    assert row.sealed_message == ""
    post.answer = "250 OK"
    deliver(row)
    assert post.taken == []


def test_a_mail_is_given_up_after_the_last_attempt(post: MailServer) -> None:
    row = queued()
    OutgoingMail.objects.update(attempts=MOST_ATTEMPTS - 1)
    post.answer = "451 Try later"
    assert deliver(row).failed_at is not None


def test_a_mail_is_sent_once_if_the_job_runs_twice(post: MailServer) -> None:
    row = deliver(queued())
    deliver(row)
    assert len(post.taken) == 1


def test_no_secret_reaches_the_log(post: MailServer, caplog: pytest.LogCaptureFixture) -> None:
    row = queued()
    post.answer = "451 Try later"
    with pytest.raises(MailNotSent) as raised:
        deliver(row)
    assert SECRET not in caplog.text + str(raised.value)


def test_a_message_without_html_is_sent(post: MailServer) -> None:
    EmailMessage("Hi\tthere", "Just text", to=["a@example.com", "b@example.com"]).send()
    for row in OutgoingMail.objects.all():
        deliver(row)
    assert sorted(envelope.rcpt_tos[0] for envelope in post.taken) == ["a@example.com", "b@example.com"]


def test_old_mail_is_deleted(post: MailServer) -> None:
    deliver(queued())
    forget_old_mail()
    assert OutgoingMail.objects.exists()
    OutgoingMail.objects.update(created_at="2020-01-01T00:00:00Z")
    forget_old_mail()
    assert not OutgoingMail.objects.exists()


def test_development_shows_what_was_sent(post: MailServer, settings: Any, client: Client) -> None:
    settings.DEVELOPMENT = True
    row = deliver(queued())
    page = client.get("/mail").content.decode()
    assert SECRET in page
    html = client.get(f"/mail/{row.id}")
    assert "Accept invitation" in html.content.decode()
    assert "script-src 'none'" in html.headers["Content-Security-Policy"]


def test_a_temporarily_refused_recipient_is_tried_again(
    post: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise smtplib.SMTPRecipientsRefused({"erin@example.com": (450, b"Busy")})

    monkeypatch.setattr(smtplib.SMTP, "sendmail", refuse)
    row = queued()
    with pytest.raises(MailNotSent):
        deliver(row)
    row.refresh_from_db()
    assert row.last_error == "450 Busy"


def test_a_mail_that_kills_its_worker_each_time_is_given_up(post: MailServer) -> None:
    row = queued()
    OutgoingMail.objects.update(attempts=MOST_ATTEMPTS)
    assert deliver(row).failed_at is not None
    assert post.taken == []


def test_a_mail_whose_key_is_missing_is_given_up_with_the_reason(post: MailServer, settings: Any) -> None:
    row = queued()
    settings.ENCRYPTION_KEYS = ["another key " * 4]
    assert deliver(row).failed_at is not None
    assert "ENCRYPTION_KEYS" in row.last_error
