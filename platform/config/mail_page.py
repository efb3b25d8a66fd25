"""Development's mailbox: sent emails with their links. Does not exist in production."""

from uuid import UUID

from csp.decorators import csp_replace
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.mail.queue import Bodies, read_bodies
from accounts.models import OutgoingMail
from kit.errors import SecretUnreadable

SHOWN = 50
MAIL_CSP = {
    "default-src": ["'none'"],
    "script-src": ["'none'"],
    "style-src": ["'unsafe-inline'"],
    "frame-ancestors": ["'none'"],
}


@require_GET
def mail(request: HttpRequest) -> HttpResponse:
    """The newest emails; bodies are stored in development only."""
    rows = OutgoingMail.objects.all()[:SHOWN]
    shown = [{"row": row, "text": _bodies(row)["text"]} for row in rows]
    return render(request, "mail/page.html", {"mails": shown})


@require_GET
@csp_replace(MAIL_CSP)  # type: ignore[arg-type]  # its stubs know no arguments
def mail_html(request: HttpRequest, mail_id: UUID) -> HttpResponse:
    """One email as a mail program would render it: inline styles, no scripts."""
    row = OutgoingMail.objects.filter(id=mail_id).first()
    if row is None:
        raise Http404
    return HttpResponse(_bodies(row)["html"])


def _bodies(row: OutgoingMail) -> Bodies:
    """The email's bodies, or the reason why they cannot be decrypted."""
    try:
        return read_bodies(row)
    except SecretUnreadable as exc:
        return {"text": exc.text, "html": ""}
