"""An MCP server that a workspace installed, the sign-ins at it, and its tools as they were accepted."""

from uuid import UUID, uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone

INSTALLED = Q(removed_at=None)


class MCPServerQuerySet(models.QuerySet["MCPServer"]):
    def installed(self) -> "MCPServerQuerySet":
        """Those that have not been removed."""
        return self.filter(INSTALLED)

    def enabled(self) -> "MCPServerQuerySet":
        return self.installed().filter(enabled=True)

    def in_workspace(self, workspace_id: UUID) -> "MCPServerQuerySet":
        return self.filter(workspace_id=workspace_id)


class MCPServer(models.Model):
    """A removed server keeps its row, without tools and secrets, and frees its slug."""

    class Transport(models.TextChoices):
        STREAMABLE_HTTP = "streamable_http", "Streamable HTTP"
        SSE = "sse", "SSE (older servers)"

    class Auth(models.TextChoices):
        NONE = "none", "None"
        HEADER = "header", "A header with a key"
        OAUTH = "oauth", "A sign-in (OAuth)"

    class SignIn(models.TextChoices):
        WORKSPACE = "workspace", "Once, for the whole workspace"
        MEMBER = "member", "By each member, for themselves"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace_id = models.UUIDField()
    slug = models.CharField(max_length=60, help_text="Name in the API")
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=500, help_text="Its URL, without keys")
    sealed_url = models.TextField(
        blank=True, help_text="The whole URL, encrypted; empty if it contains no key"
    )
    transport = models.CharField(
        max_length=20, choices=Transport.choices, default=Transport.STREAMABLE_HTTP.value
    )
    auth = models.CharField(max_length=10, choices=Auth.choices, default=Auth.NONE.value)
    header_name = models.CharField(max_length=100, blank=True)
    sealed_header = models.TextField(blank=True, help_text="The header's value, encrypted")
    sign_in = models.CharField(max_length=10, choices=SignIn.choices, blank=True, help_text="Who signs in")
    authorization = models.JSONField(
        null=True, help_text="The authorization server, from the server's metadata"
    )
    sealed_client = models.TextField(blank=True, help_text="Our OAuth client, encrypted")
    waits_for_sign_in = models.BooleanField(default=False, help_text="Enabled by the first sign-in")
    enabled = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1, help_text="Incremented when its tools change")
    problem = models.CharField(max_length=200, blank=True, help_text="Why the last check failed")
    checked_at = models.DateTimeField(null=True)
    listed_at = models.DateTimeField(
        null=True, help_text="When its tools were last listed; None: never, and the first ones are allowed"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)

    objects = MCPServerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace_id", "slug"], name="one_mcp_server_a_slug", condition=INSTALLED
            ),
            models.CheckConstraint(
                condition=~Q(auth="header") | ~Q(header_name="") | Q(removed_at__isnull=False),
                name="a_header_has_a_name",
            ),
            models.CheckConstraint(
                condition=Q(auth="oauth") & ~Q(sign_in="") | ~Q(auth="oauth") & Q(sign_in=""),
                name="oauth_says_who_signs_in",
            ),
        ]
        indexes = [models.Index(fields=["checked_at"], name="mcp_server_checked", condition=INSTALLED)]

    def __str__(self) -> str:
        return self.slug


class MCPSignIn(models.Model):
    """The tokens of a sign-in at a server: the workspace's (without a user), or one member's."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    server = models.ForeignKey(MCPServer, on_delete=models.CASCADE, related_name="sign_ins")
    user_id = models.UUIDField(null=True, db_index=True)
    sealed_access = models.TextField(help_text="The access token, encrypted")
    sealed_refresh = models.TextField(blank=True, help_text="The refresh token, encrypted")
    scope = models.CharField(max_length=2_000, blank=True)
    wanted_scope = models.CharField(
        max_length=2_000, blank=True, help_text="Additional scope that the server required for a call"
    )
    expires_at = models.DateTimeField(null=True, help_text="Expiry of the access token; empty: unknown")
    refreshing_until = models.DateTimeField(null=True, help_text="A process is refreshing it until then")
    problem = models.CharField(max_length=200, blank=True, help_text="Why it no longer works")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["server"], condition=Q(user_id=None), name="one_sign_in_a_workspace"
            ),
            models.UniqueConstraint(
                fields=["server", "user_id"], condition=~Q(user_id=None), name="one_sign_in_a_member"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.server_id} for {self.user_id or 'the workspace'}"

    @property
    def is_usable(self) -> bool:
        """Whether its tokens work now, or after a refresh."""
        is_fresh = self.expires_at is None or self.expires_at > timezone.now()
        return not self.problem and (is_fresh or bool(self.sealed_refresh))


class PendingSignIn(models.Model):
    """A sign-in that has begun. Only the member who began it can complete it, once and soon."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    server = models.ForeignKey(MCPServer, on_delete=models.CASCADE, related_name="pending_sign_ins")
    user_id = models.UUIDField()
    state_hash = models.CharField(max_length=64)
    sealed_verifier = models.TextField(help_text="The PKCE verifier, encrypted")
    issuer = models.CharField(max_length=500)
    scope = models.CharField(max_length=2_000, blank=True, help_text="The requested scope")
    back = models.CharField(max_length=10, blank=True, help_text="The page that started it")
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["state_hash"], name="one_pending_sign_in_a_state")]

    def __str__(self) -> str:
        return f"{self.server_id} for {self.user_id}"


class Tool(models.Model):
    """A tool as a manager accepted it; a definition that the server has changed since waits in `offered`."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    server = models.ForeignKey(MCPServer, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=128)
    definition = models.JSONField(help_text="Description, input schema and annotations, as accepted")
    definition_hash = models.CharField(max_length=64)
    offered = models.JSONField(null=True, help_text="A changed definition that is not yet accepted")
    is_allowed = models.BooleanField(default=True)
    is_new = models.BooleanField(
        default=False, help_text="Added after the first listing and not yet reviewed"
    )
    needs_approval = models.BooleanField(default=False, help_text="A person must approve each call")
    argument_schema = models.JSONField(null=True, help_text="A JSON Schema that the arguments must match")
    is_gone = models.BooleanField(default=False, help_text="The server no longer offers it")
    problem = models.CharField(max_length=200, blank=True, help_text="Why it cannot be used")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "name"], name="one_tool_a_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def only_reads(self) -> bool:
        """Whether the accepted definition says so; only the server's own word."""
        said = self.definition.get("annotations", {})
        return said.get("readOnlyHint") is True and said.get("destructiveHint") is not True

    @property
    def is_usable(self) -> bool:
        return self.is_allowed and not self.is_gone and self.offered is None and not self.problem
