"""A language model that a workspace installed, and the credential for its provider."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower


class ProviderCredential(models.Model):
    """A provider's URL and an API key, shared by the models that use them; the key is write-only."""

    class Kind(models.TextChoices):
        OPENAI = "openai", "OpenAI"
        AZURE = "azure", "Azure OpenAI"
        ANTHROPIC = "anthropic", "Anthropic"
        COMPATIBLE = "compatible", "OpenAI-compatible"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    base_url = models.CharField(max_length=500)
    sealed_key = models.TextField(blank=True, help_text="Encrypted; empty if the provider needs none")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace_id", "name"], name="one_credential_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class LanguageModel(models.Model):
    class Provider(models.TextChoices):
        LOCAL = "local", "Built in"
        OPENAI = "openai", "OpenAI"
        AZURE = "azure", "Azure OpenAI"
        ANTHROPIC = "anthropic", "Anthropic"
        COMPATIBLE = "compatible", "OpenAI-compatible"

    class Kind(models.TextChoices):
        """What it is used for. Only chat models have replies, capabilities, defaults and a fallback."""

        CHAT = "chat", "Chat"
        EMBEDDING = "embedding", "Embedding"
        MODERATION = "moderation", "Moderation"

    class Ability(models.TextChoices):
        TOOLS = "tools", "Tools"
        IMAGES = "images", "Images"
        REASONING = "reasoning", "Reasoning"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    slug = models.CharField(max_length=60, help_text="Name in the API")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.CHAT, db_default=Kind.CHAT)
    provider = models.CharField(max_length=20, choices=Provider.choices)
    credential = models.ForeignKey(
        ProviderCredential, null=True, blank=True, on_delete=models.PROTECT, related_name="language_models"
    )
    upstream_name = models.CharField(max_length=100, help_text="The model's ID at the provider")
    context_window = models.PositiveIntegerField(
        help_text="Tokens of prompt and output together; for an embedding model, of one input"
    )
    output_bound = models.PositiveIntegerField(
        help_text="Output tokens if a request sets no limit; 0 for a model without output"
    )
    abilities = ArrayField(
        models.CharField(max_length=20, choices=Ability.choices),
        default=list,
        blank=True,
        help_text="Capabilities",
    )
    fallback = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="stands_in_for",
        help_text="Used if this model's provider fails",
    )
    enabled = models.BooleanField(default=False)
    parameters = models.JSONField(
        default=dict, blank=True, help_text="Defaults for temperature, top_p and reasoning_effort"
    )
    access = models.JSONField(
        default=dict,
        blank=True,
        help_text="Who may use it; empty: everyone (language_models/model_access.py)",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("workspace_id", Lower("slug"), name="one_model_a_slug"),
            models.CheckConstraint(
                condition=Q(kind="chat", output_bound__gt=0, output_bound__lt=models.F("context_window"))
                | (~Q(kind="chat") & Q(output_bound=0)),
                name="output_fits_the_window",
            ),
            models.CheckConstraint(
                condition=Q(provider="local", credential=None)
                | (~Q(provider="local") & Q(credential__isnull=False)),
                name="only_the_built_in_needs_no_credential",
            ),
            models.CheckConstraint(
                condition=Q(abilities__contained_by=["tools", "images", "reasoning"]),
                name="abilities_are_known",
            ),
            models.CheckConstraint(
                condition=Q(fallback=None) | ~Q(fallback=models.F("id")), name="no_model_is_its_own_fallback"
            ),
        ]

    def __str__(self) -> str:
        return self.slug
