"""The mail queue: Django's email backend writes to it, and a job sends the mail, with retries."""

import json
import smtplib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypedDict, cast
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMultiAlternatives
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from accounts.models import OutgoingMail
from kit.secrets import SecretUnreadable, seal, unseal

MOST_ATTEMPTS = 9
STORED = timedelta(days=30)


class Bodies(TypedDict):
    text: str
    html: str


class MailNotSent(Exception):
    """Not this time; the job runs again later."""


# For about a day: 4 s, 16 s, 64 s … 18 h. A short outage of the database must not lose a mail either.
RETRIES = RetryStrategy(
    max_attempts=MOST_ATTEMPTS,
    exponential_wait=4,
    retry_exceptions=[MailNotSent, OperationalError, InterfaceError],
)


class QueueBackend(BaseEmailBackend):
    """Stores each message with its job, in the caller's transaction."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        queued = 0
        for message in email_messages:
            for to in message.recipients():
                _enqueue(message, to)
                queued += 1
        return queued


@transaction.atomic
def _enqueue(message: EmailMessage, to: str) -> None:
    """The job gets only the id, because a job's arguments are visible in tables and logs."""
    row = OutgoingMail.objects.create(
        to=to, subject=message.subject[:200], sealed_message=seal(json.dumps(_bodies(message)))
    )
    deliver_mail.defer(mail_id=str(row.id))


def _bodies(message: EmailMessage) -> Bodies:
    alternatives = getattr(message, "alternatives", [])
    html = next((str(part.content) for part in alternatives if part.mimetype == "text/html"), "")
    return {"text": str(message.body), "html": html}


@app.task(name="accounts.deliver_mail", retry=RETRIES)
def deliver_mail(mail_id: str) -> None:
    """Sends it once; MailNotSent while the server is unavailable or defers it. A permanent refusal ends it.

    Safe to repeat: only a process killed between the server's 250 and the next statement sends it twice, with
    the same Message-ID.
    """
    row = _begin_attempt(UUID(mail_id))
    if row is None:
        return
    try:
        outgoing = _message(row)
    except SecretUnreadable as exc:
        _end(row, str(exc))
        return
    problem, is_final = _try(outgoing, when_accepted=partial(_record_sent, row))
    if not problem:
        return
    if is_final or row.attempts >= MOST_ATTEMPTS:
        _end(row, problem)
        return
    OutgoingMail.objects.filter(id=row.id).update(last_error=problem[:300])
    raise MailNotSent(problem)


@transaction.atomic
def _begin_attempt(mail_id: UUID) -> OutgoingMail | None:
    """Counts the attempt before it is made, so that a mail that kills its worker is given up too.

    None if there is nothing left to send.
    """
    waiting = OutgoingMail.objects.select_for_update().filter(id=mail_id, sent_at=None, failed_at=None)
    row = waiting.first()
    if row is None:
        return None
    if row.attempts >= MOST_ATTEMPTS:
        _end(row, row.last_error or "The worker ended during each attempt.")
        return None
    row.attempts += 1
    row.save(update_fields=["attempts"])
    return row


def _record_sent(row: OutgoingMail) -> None:
    OutgoingMail.objects.filter(id=row.id).update(sent_at=timezone.now(), last_error="", **_wiped())


def _end(row: OutgoingMail, problem: str) -> None:
    OutgoingMail.objects.filter(id=row.id).update(
        failed_at=timezone.now(), last_error=problem[:300], **_wiped()
    )


def _wiped() -> dict[str, str]:
    """In development the text stays, for the page that shows sent mail."""
    return {} if settings.DEVELOPMENT else {"sealed_message": ""}


def _message(row: OutgoingMail) -> EmailMultiAlternatives:
    """The same Message-ID at each attempt, by which mail servers and clients recognise a second copy.

    SecretUnreadable if the key that sealed it is missing.
    """
    bodies = read_bodies(row)
    outgoing = EmailMultiAlternatives(subject=row.subject, body=bodies["text"], to=[row.to])
    outgoing.extra_headers["Message-ID"] = f"<{row.id}@{urlsplit(settings.SITE_URL).hostname}>"
    if bodies["html"]:
        outgoing.attach_alternative(bodies["html"], "text/html")
    return outgoing


def _try(outgoing: EmailMultiAlternatives, *, when_accepted: Callable[[], None]) -> tuple[str, bool]:
    """The server's error, empty on success, and whether it is permanent."""
    server = get_connection(settings.MAIL_BACKEND, timeout=settings.EMAIL_TIMEOUT)
    try:
        server.open()
        server.send_messages([outgoing])  # does not close a connection that was open before
    except smtplib.SMTPRecipientsRefused as exc:
        code, reply = next(iter(exc.recipients.values()))
        return _reply_text(code, reply), code >= 500
    except smtplib.SMTPResponseException as exc:
        return _reply_text(exc.smtp_code, exc.smtp_error), isinstance(
            exc, smtplib.SMTPDataError
        ) and exc.smtp_code >= 500
    except (smtplib.SMTPException, OSError) as exc:
        return f"{type(exc).__name__}: {exc}", False
    else:
        when_accepted()  # before closing, which may take long
    finally:
        with suppress(smtplib.SMTPException, OSError):
            server.close()
    return "", False


def _reply_text(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return f"{code} {text}"


def read_bodies(row: OutgoingMail) -> Bodies:
    """`{"text", "html"}`; both empty once wiped."""
    if not row.sealed_message:
        return {"text": "", "html": ""}
    return cast("Bodies", json.loads(unseal(row.sealed_message)))


def forget_old_mail() -> None:
    """Deletes mail queued a month ago."""
    OutgoingMail.objects.filter(created_at__lt=timezone.now() - STORED).delete()
