"""A language model that a workspace installed: where it runs, what it can hold, whether it is enabled."""

from uuid import uuid4

from django.db import models


class LanguageModel(models.Model):
    class Provider(models.TextChoices):
        LOCAL = "local", "Built in"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    slug = models.CharField(max_length=60, help_text="What clients call it")
    name = models.CharField(max_length=100)
    provider = models.CharField(max_length=20, choices=Provider.choices)
    upstream_name = models.CharField(max_length=100, help_text="What its provider calls it")
    context_window = models.PositiveIntegerField(help_text="Tokens of prompt and output together")
    output_bound = models.PositiveIntegerField(help_text="Tokens of output where a request names none")
    enabled = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace_id", "slug"], name="one_model_a_slug"),
            models.CheckConstraint(
                condition=models.Q(output_bound__gt=0, output_bound__lt=models.F("context_window")),
                name="output_fits_the_window",
            ),
        ]

    def __str__(self) -> str:
        return self.slug
