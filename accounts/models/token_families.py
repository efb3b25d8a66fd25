"""Ended sign-ins over the API: their tokens no longer work, though they have not expired."""

from django.db import models


class EndedFamily(models.Model):
    """All tokens from one sign-in have its family's id; a row ends them.

    Only ended families are stored, until their last token would have expired, so a sign-in costs no row.
    """

    id = models.UUIDField(primary_key=True)
    ended_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return str(self.id)
