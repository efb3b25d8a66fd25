"""Composes mail from templates, as text and as HTML, and hands it to the queue."""

from collections.abc import Mapping
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string


def send_mail(template: str, to: str, context: Mapping[str, Any]) -> None:
    """Queues the mail `mail/<template>` in the caller's transaction; a job sends it."""
    compose(f"mail/{template}", to, context).send()


def compose(prefix: str, to: str, context: Mapping[str, Any]) -> EmailMultiAlternatives:
    """From `<prefix>_subject.txt`, `<prefix>_message.txt` and `<prefix>_message.html`, if it exists.

    Otherwise the HTML is made of the text's paragraphs, with URLs as links.
    """
    values = dict(context)
    subject = " ".join(render_to_string(f"{prefix}_subject.txt", values).split())
    text = render_to_string(f"{prefix}_message.txt", values).strip()
    try:
        html = render_to_string(f"{prefix}_message.html", {**values, "subject": subject})
    except TemplateDoesNotExist:
        paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
        html = render_to_string("mail/plain.html", {"subject": subject, "paragraphs": paragraphs})
    message = EmailMultiAlternatives(subject=subject[:200], body=text, to=[to])
    message.attach_alternative(html, "text/html")
    return message
