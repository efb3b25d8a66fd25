"""Mail: queued with what causes it, sent by a job over real SMTP, tried again, never a secret in a log."""

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


class Post:
    """A mail server: keeps what it takes, and answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("2"):
            self.taken.append(envelope)
        return self.answer


@pytest.fixture
def post(settings: Any) -> Iterator[Post]:
    handler = Post()
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


def test_it_is_sent_as_text_and_html(post: Post) -> None:
    row = deliver(queued())
    (envelope,) = post.taken
    assert envelope.rcpt_tos == ["erin@example.com"]
    assert b"multipart/alternative" in envelope.content
    assert SECRET.encode() in envelope.content
    assert (row.sent_at is not None, row.attempts, row.last_error) == (True, 1, "")


def test_its_text_is_sealed_while_it_waits_and_wiped_when_it_is_sent(post: Post) -> None:
    row = queued()
    assert SECRET not in row.sealed_message
    assert SECRET in read_bodies(row)["text"]
    assert deliver(row).sealed_message == ""


def test_the_job_knows_an_id_and_nothing_else(post: Post) -> None:
    row = queued()
    job = ProcrastinateJob.objects.get(task_name="accounts.deliver_mail")
    assert job.args == {"mail_id": str(row.id)}


def test_what_is_undone_sends_nothing(post: Post) -> None:
    with transaction.atomic():
        send_mail("invitation", "erin@example.com", CONTEXT)
        transaction.set_rollback(True)
    assert not OutgoingMail.objects.exists()
    assert not ProcrastinateJob.objects.filter(task_name="accounts.deliver_mail").exists()


def test_a_server_that_defers_is_asked_again(post: Post) -> None:
    row = queued()
    post.answer = "451 Try later"
    with pytest.raises(MailNotSent):
        deliver(row)
    row.refresh_from_db()
    assert (row.attempts, row.last_error, row.failed_at) == (1, "451 Try later", None)
    post.answer = "250 OK"
    assert deliver(row).sent_at is not None
    assert len(post.taken) == 1


def test_a_server_that_is_away_is_asked_again(post: Post, settings: Any) -> None:
    row = queued()
    settings.EMAIL_PORT = 1
    with pytest.raises(MailNotSent):
        deliver(row)


def test_a_refusal_for_good_ends_it(post: Post) -> None:
    row = queued()
    post.answer = "550 No such person"
    assert deliver(row).failed_at is not None
    assert row.sealed_message == ""
    post.answer = "250 OK"
    deliver(row)
    assert post.taken == []


def test_it_is_given_up_after_so_many_attempts(post: Post) -> None:
    row = queued()
    OutgoingMail.objects.update(attempts=MOST_ATTEMPTS - 1)
    post.answer = "451 Try later"
    assert deliver(row).failed_at is not None


def test_it_is_sent_once_however_often_the_job_runs(post: Post) -> None:
    row = deliver(queued())
    deliver(row)
    assert len(post.taken) == 1


def test_no_secret_reaches_the_log(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    row = queued()
    post.answer = "451 Try later"
    with pytest.raises(MailNotSent) as raised:
        deliver(row)
    assert SECRET not in caplog.text + str(raised.value)


def test_a_plain_message_goes_too(post: Post) -> None:
    EmailMessage("Hi\tthere", "Just text", to=["a@example.com", "b@example.com"]).send()
    for row in OutgoingMail.objects.all():
        deliver(row)
    assert sorted(envelope.rcpt_tos[0] for envelope in post.taken) == ["a@example.com", "b@example.com"]


def test_old_mail_is_forgotten(post: Post) -> None:
    deliver(queued())
    forget_old_mail()
    assert OutgoingMail.objects.exists()
    OutgoingMail.objects.update(created_at="2020-01-01T00:00:00Z")
    forget_old_mail()
    assert not OutgoingMail.objects.exists()


def test_development_shows_what_was_sent(post: Post, settings: Any, client: Client) -> None:
    settings.DEVELOPMENT = True
    row = deliver(queued())
    page = client.get("/mail").content.decode()
    assert SECRET in page
    html = client.get(f"/mail/{row.id}")
    assert "Accept invitation" in html.content.decode()
    assert "script-src 'none'" in html.headers["Content-Security-Policy"]


def test_a_recipient_who_is_refused_for_now_is_tried_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise smtplib.SMTPRecipientsRefused({"erin@example.com": (450, b"Busy")})

    monkeypatch.setattr(smtplib.SMTP, "sendmail", refuse)
    row = queued()
    with pytest.raises(MailNotSent):
        deliver(row)
    row.refresh_from_db()
    assert row.last_error == "450 Busy"


def test_a_mail_that_ends_its_worker_each_time_is_given_up(post: Post) -> None:
    row = queued()
    OutgoingMail.objects.update(attempts=MOST_ATTEMPTS)
    assert deliver(row).failed_at is not None
    assert post.taken == []


def test_a_mail_whose_key_is_missing_is_given_up_with_the_reason(post: Post, settings: Any) -> None:
    row = queued()
    settings.ENCRYPTION_KEYS = ["another key " * 4]
    assert deliver(row).failed_at is not None
    assert "ENCRYPTION_KEYS" in row.last_error
