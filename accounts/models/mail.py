"""Mail on its way: written in the transaction that causes it, sent by a job."""

from typing import ClassVar
from uuid import uuid4

from django.db import models


class OutgoingMail(models.Model):
    """One message to one address; sealed, because links in it are secrets, and wiped once sent."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    to = models.EmailField(max_length=254)
    subject = models.CharField(max_length=200)
    sealed_message = models.TextField(
        blank=True, editable=False, help_text="Sealed text and HTML, empty once sent"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True, help_text="Given up")

    class Meta:
        verbose_name_plural = "outgoing mail"
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        indexes = [models.Index(fields=["-created_at", "-id"], name="mail_created")]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to}"
