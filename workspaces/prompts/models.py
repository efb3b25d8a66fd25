"""A prompt, its versions, and the members who have it among their favourites."""

from typing import ClassVar
from uuid import UUID, uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, OuterRef, Q

from accounts.principals import Principal

INSTALLED = Q(removed_at=None)


class PromptQuerySet(models.QuerySet["Prompt"]):
    def installed(self) -> "PromptQuerySet":
        """Those that have not been removed."""
        return self.filter(INSTALLED)

    def in_workspace(self, workspace_id: UUID) -> "PromptQuerySet":
        return self.filter(workspace_id=workspace_id)

    def private_to(self, user_id: UUID) -> "PromptQuerySet":
        """Those that only their author sees."""
        return self.filter(user_id=user_id, visibility=Prompt.Visibility.ME)

    def visible_to(self, principal: Principal) -> "PromptQuerySet":
        """The workspace's own, without other members' private ones, and those shared with the whole team.

        Annotated with `is_favourite`.
        """
        own = Q(workspace_id=principal.workspace.id)
        private = Q(visibility=Prompt.Visibility.ME)
        readable = own & (~private | Q(user_id=principal.user_id)) | Q(visibility=Prompt.Visibility.TENANT)
        liked = PromptFavourite.objects.filter(prompt=OuterRef("id"), user_id=principal.user_id)
        return self.installed().filter(readable).annotate(is_favourite=Exists(liked))


class Prompt(models.Model):
    """The row has the current version. A removed prompt keeps its row without content, and frees its slug."""

    class Visibility(models.TextChoices):
        ME = "me", "Only the author"
        WORKSPACE = "workspace", "Everyone in the workspace"
        TENANT = "tenant", "Everyone in the team"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    user_id = models.UUIDField(help_text="The author")
    slug = models.CharField(max_length=60, help_text="Name in the API")
    title = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True)
    visibility = models.CharField(
        max_length=10, choices=Visibility.choices, default=Visibility.WORKSPACE.value
    )
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    number = models.PositiveIntegerField(default=1, help_text="Number of the current version")
    text = models.TextField()
    variables = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    removed_at = models.DateTimeField(null=True)

    objects = PromptQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace_id", "slug"], name="one_prompt_a_slug", condition=INSTALLED
            ),
        ]
        indexes = [
            models.Index(
                fields=["workspace_id", "-updated_at", "-id"], name="prompt_workspace", condition=INSTALLED
            ),
            models.Index(
                fields=["-updated_at", "-id"],
                name="prompt_tenant",
                condition=INSTALLED & Q(visibility="tenant"),
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class PromptVersion(models.Model):
    """What a prompt said at one time; never changed."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    user_id = models.UUIDField()
    note = models.CharField(max_length=200, blank=True)
    text = models.TextField()
    variables = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["prompt", "number"], name="one_version_a_number")]
        indexes = [models.Index(fields=["prompt", "-created_at", "-id"], name="prompt_versions")]

    def __str__(self) -> str:
        return f"{self.number}"


class PromptFavourite(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="favourites")
    user_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prompt", "user_id"], name="one_favourite_a_person"),
        ]

    def __str__(self) -> str:
        return str(self.id)
