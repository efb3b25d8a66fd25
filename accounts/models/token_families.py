"""Sign-ins over the API that are over: their tokens open nothing any more, though they have not expired."""

from django.db import models


class EndedFamily(models.Model):
    """All tokens that came from one sign-in carry its family's id; here it stands once they are dead.

    Only ended ones are kept, and only until their last token would have expired: a sign-in costs no row.
    """

    id = models.UUIDField(primary_key=True)
    ended_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return str(self.id)
