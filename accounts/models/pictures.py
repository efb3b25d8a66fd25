"""The picture that a person chose, small enough to live in the database."""

from django.conf import settings
from django.db import models


class Picture(models.Model):
    """A square WebP, made anew from what was uploaded: nothing of the original file is kept."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="picture"
    )
    webp = models.BinaryField()

    def __str__(self) -> str:
        return f"picture of {self.user_id}"
