"""Conversations, their turns and messages; all in the tenant's schema."""

from typing import ClassVar, Self
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from gateway.turn_states import TurnQuerySet, TurnStates


class Conversation(models.Model):
    """A thread of turns in a workspace, owned by one person. The gateway chooses its id."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    title = models.CharField(max_length=200)
    engine = models.CharField(max_length=20)
    engine_account_id = models.UUIDField(null=True, help_text="The account at the engine that stores it")
    is_shared = models.BooleanField(default=False, help_text="Everyone in the workspace can read it")
    turn_count = models.PositiveIntegerField(default=0)
    total_tokens = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    last_turn_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["workspace_id", "user_id", "-last_turn_at", "-id"], name="conversation_recent"
            ),
            models.Index(
                fields=["workspace_id", "-last_turn_at", "-id"],
                name="conversation_shared",
                condition=Q(is_shared=True),
            ),
            models.Index(fields=["-created_at"], name="conversation_created"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Turn(TurnStates):
    """One message and its reply, from admission to the end; its states are in `turn_states.py`.

    Turns form a tree: a regenerated or edited one follows the same turn as the one it replaces. One path
    through it is current, from the first turn to the latest.
    """

    class Kind(models.TextChoices):
        CHAT = "chat"
        COMPLETION = "completion"
        EMBEDDING = "embedding"
        MODERATION = "moderation"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, null=True, on_delete=models.CASCADE, related_name="turns")
    previous = models.ForeignKey(
        "self", null=True, on_delete=models.CASCADE, related_name="following", help_text="The turn it follows"
    )
    is_current = models.BooleanField(default=True, help_text="On the path that is shown and continued")
    question_id = models.UUIDField(
        default=uuid4, help_text="The id of its message at the engine; regenerated turns share it"
    )
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    model = models.CharField(max_length=60)
    model_id = models.UUIDField(
        null=True, help_text="The model with that slug when the turn began; empty: before ids were stored"
    )
    engine = models.CharField(max_length=20)
    decision = models.JSONField(default=dict, help_text="Why it was admitted")
    parameters = models.JSONField(default=dict, help_text="max_tokens, temperature, instructions, if any")
    last_call = models.JSONField(
        null=True, help_text="How its latest model call ended, as seen by the egress"
    )
    replayed = models.JSONField(
        default=list, db_default=[], help_text="What its model wants back with its tool calls, by their ids"
    )
    extras = models.JSONField(
        default=list, db_default=[], help_text="Sources and images of its calls, which its engine drops"
    )
    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - absent, not empty
    body_hash = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TurnQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"],
                name="one_running_turn_a_conversation",
                condition=Q(status="running"),
            ),
            models.UniqueConstraint(
                fields=["user_id", "workspace_id", "idempotency_key"],
                name="one_turn_an_idempotency_key",
                condition=Q(idempotency_key__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["conversation", "-created_at", "-id"],
                name="turn_current",
                condition=Q(is_current=True),
            ),
            models.Index(fields=["conversation", "-created_at", "-id"], name="turn_conversation"),
            models.Index(fields=["-created_at"], name="turn_created"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    @property
    def reply(self) -> str:
        """The reply's text so far."""
        return "".join(part["text"] for part in self.parts if part["type"] == "text")


class StoredResponse(models.Model):
    """The additional data of a stored `/v1/responses` turn: the request, and the items that were sent.

    Its output items are read from the turn's parts.
    """

    turn = models.OneToOneField(
        Turn, primary_key=True, on_delete=models.CASCADE, related_name="stored_response"
    )
    request = models.JSONField(default=dict, help_text="The request's parameters, as the response shows them")
    input_items = models.JSONField(default=list, help_text="The items of this request only, in order")
    input_bytes = models.PositiveIntegerField(default=0, help_text="The size of the request")

    def __str__(self) -> str:
        return str(self.turn_id)


class ToolRunQuerySet(models.QuerySet["ToolRun"]):
    def waiting(self) -> Self:
        """Those that a person has to allow."""
        return self.filter(state=ToolRun.State.WAITING)

    def answerable(self) -> Self:
        return self.waiting().filter(expires_at__gt=timezone.now())

    def overdue(self) -> Self:
        return self.waiting().filter(expires_at__lte=timezone.now())

    def unclaimed(self) -> Self:
        """Those that may run and that no engine has claimed."""
        return self.filter(state__in=[ToolRun.State.ASKED, ToolRun.State.ALLOWED])

    def never_run(self) -> Self:
        """Those that ended without a call of the tool, with a refusal for the model."""
        return self.filter(state__in=[ToolRun.State.REFUSED, ToolRun.State.EXPIRED, ToolRun.State.DENIED])


class ToolRun(models.Model):
    """A tool call that a model requested in a turn: whether it may run, who allowed it, how it ended.

    `gateway.calls.tool_run_states` draws its states and changes them.
    """

    class State(models.TextChoices):
        ASKED = "asked", "May run"
        RUNNING = "running", "Was taken up, for an engine that asked for it"
        WAITING = "waiting", "Waits for a person"
        ALLOWED = "allowed"
        REFUSED = "refused"
        EXPIRED = "expired"
        DENIED = "denied", "Was not to run at all"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="tool_runs")
    call_id = models.CharField(max_length=200, help_text="The provider's id of the call")
    server = models.CharField(max_length=60, blank=True, help_text="Slug of the MCP server")
    server_id = models.UUIDField(null=True, help_text="None for a tool that was never offered")
    tool = models.CharField(max_length=128)
    arguments = models.JSONField(default=dict)
    arguments_hash = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State.choices)
    expires_at = models.DateTimeField(null=True, help_text="Deadline for a person's answer")
    decided_by = models.UUIDField(null=True)
    decided_at = models.DateTimeField(null=True)
    refusal = models.TextField(blank=True, help_text="Why it was refused, as shown to the model")
    duration_ms = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ToolRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="waiting") | Q(expires_at__isnull=False), name="who_waits_waits_until"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} {self.state}"

    @property
    def target(self) -> str:
        """The name of the tool in the audit."""
        return f"{self.server}/{self.tool}"


class EngineServer(models.Model):
    """An MCP server as one engine account knows it for one person: at an address of our egress.

    Committed before it is registered at the engine, so that a crash in between converges.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    server_id = models.UUIDField()
    engine_account_id = models.UUIDField()
    user_id = models.UUIDField(help_text="The person whose turns call it")
    sealed_secret = models.TextField(help_text="The engine authenticates with it; encrypted")
    name = models.CharField(
        max_length=100, blank=True, help_text="Its name at the engine; empty until registered"
    )
    version = models.PositiveIntegerField(
        default=0, help_text="Of the MCP server, when it was last registered"
    )
    claimed_until = models.DateTimeField(null=True, help_text="A process is registering it until then")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["engine_account_id", "server_id", "user_id"], name="one_engine_server_a_person"
            ),
        ]
        indexes = [models.Index(fields=["server_id"], name="engine_server_server")]

    def __str__(self) -> str:
        return str(self.id)


class Message(models.Model):
    """A message, stored for every engine."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="messages")
    role = models.CharField(max_length=10, choices=Role.choices)
    content = models.TextField()
    image_ids = ArrayField(models.UUIDField(), default=list, help_text="Images of its conversation, in order")
    sources = models.JSONField(default=list, db_default=[], help_text="Of a reply: URLs and titles, in order")
    image_urls = models.JSONField(default=list, db_default=[], help_text="Of a reply: images elsewhere")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "role"], name="one_message_a_side"),
        ]
        indexes = [
            models.Index(fields=["conversation", "created_at", "id"], name="message_conversation"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"


class Image(models.Model):
    """An attached picture, re-encoded from the upload; deleted with its conversation.

    Until it is sent it has no conversation, and only its uploader can see it.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    user_id = models.UUIDField()
    conversation = models.ForeignKey(Conversation, null=True, on_delete=models.CASCADE, related_name="images")
    media_type = models.CharField(max_length=20)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    sealed = models.TextField(help_text="Its bytes, encrypted")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="image_unsent", condition=Q(conversation=None)),
        ]

    def __str__(self) -> str:
        return str(self.id)
