"""A person's picture, small enough for the database."""

from django.conf import settings
from django.db import models


class Picture(models.Model):
    """A square WebP, redrawn from the upload: nothing of the original file is stored."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="picture"
    )
    webp = models.BinaryField()

    def __str__(self) -> str:
        return f"picture of {self.user_id}"
