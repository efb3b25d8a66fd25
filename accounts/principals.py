"""The acting person, tenant and workspace, checked against the database on each use."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from accounts.models import EndedFamily, Membership, Workspace, WorkspaceMember
from accounts.models.workspaces import WorkspaceRef
from accounts.policy import Action, Scope, may
from kit.errors import NotFound
from kit.tenancy import TenantRef


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified person in a workspace; plain data, safe to carry through async code.

    `workspace_role` is empty for people who oversee a workspace without being in it. `scopes` is None for a
    person; an API key has scopes, its prefix and id, and perhaps the one workspace that it is bound to.
    """

    user_id: UUID
    email: str
    name: str
    tenant: TenantRef
    tenant_name: str
    tenant_role: str
    workspace: WorkspaceRef
    workspace_role: str
    membership_id: UUID
    access_version: int
    reply_language: str = ""  # a code of accounts.sign_in.profile; empty: the language of the message
    scopes: frozenset[Scope] | None = None
    api_key: str = ""
    api_key_id: UUID | None = None
    is_bound: bool = False
    family: UUID | None = None  # of the tokens from one sign-in over the API

    @property
    def bounds(self) -> tuple[UUID, int]:
        """Access ends when either changes: the person left the tenant, or has new credentials."""
        return self.membership_id, self.access_version


def find_principal(
    *, user_id: UUID, tenant_slug: str, workspace_slug: str, family: UUID | None = None
) -> Principal | None:
    """One indexed read; None unless the person may enter the workspace and the family has not ended."""
    rows = open_memberships(user_id).filter(
        workspace__tenant__slug=tenant_slug, workspace__slug=workspace_slug
    )
    if family is not None:
        rows = rows.exclude(Exists(EndedFamily.objects.filter(id=family)))
    member = rows.first()
    return replace(_principal(member), family=family) if member else None


def may_chat(user_id: UUID, workspace_id: UUID) -> bool:
    """Asked again at each step of a running turn."""
    return bool(chat_role(user_id, workspace_id))


def who_may_chat(pairs: Collection[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """The pairs (user, workspace) whose user may chat in that workspace now; one read for all."""
    users, workspaces = {user for user, _ in pairs}, {workspace for _, workspace in pairs}
    rows = all_open_memberships().filter(user__in=users, workspace__in=workspaces)
    found = {(row.user_id, row.workspace_id) for row in rows if may(_principal(row), Action.CHAT)}
    return found & set(pairs)


def chat_role(user_id: UUID, workspace_id: UUID) -> str:
    """The workspace role by which the user may chat now; empty if they may not."""
    member = open_memberships(user_id).filter(workspace=workspace_id).first()
    return member.role if member is not None and may(_principal(member), Action.CHAT) else ""


def in_workspace(principal: Principal, workspace_slug: str | None) -> Principal:
    """The same person in another workspace of the tenant; NotFound if they may not enter it."""
    if not workspace_slug or workspace_slug == principal.workspace.slug:
        return principal
    if principal.is_bound:
        raise NotFound  # a bound key must not learn whether the workspace exists
    other = find_principal(
        user_id=principal.user_id, tenant_slug=principal.tenant.slug, workspace_slug=workspace_slug
    )
    if other is None:
        raise NotFound
    return replace(
        other,
        scopes=principal.scopes,
        api_key=principal.api_key,
        api_key_id=principal.api_key_id,
        family=principal.family,
    )


def over_workspace(principal: Principal, workspace_slug: str) -> Principal:
    """In the workspace as a member, or over it as someone who oversees all, archived ones too."""
    try:
        return in_workspace(principal, workspace_slug)
    except NotFound:
        if not may(principal, Action.WORKSPACE_OVERSEE):
            raise
    rows = Workspace.objects.existing().filter(tenant_id=principal.tenant.id, slug=workspace_slug)
    workspace = rows.first()
    if workspace is None:
        raise NotFound
    return replace(principal, workspace=workspace.ref, workspace_role="")


def find_in_or_above(*, user_id: UUID, tenant_slug: str, workspace_slug: str) -> Principal:
    """A person in or over the workspace; NotFound for a stranger."""
    found = find_principal(user_id=user_id, tenant_slug=tenant_slug, workspace_slug=workspace_slug)
    if found is not None:
        return found
    anywhere = default_principal(user_id=user_id, tenant_slug=tenant_slug) if tenant_slug else None
    if anywhere is None:
        raise NotFound
    return over_workspace(anywhere, workspace_slug)


def default_principal(
    *, user_id: UUID, tenant_slug: str | None = None, workspace_slug: str | None = None
) -> Principal | None:
    """In the first workspace that the person joined, of the named tenant or name."""
    rows = open_memberships(user_id).order_by("created_at", "id")
    if tenant_slug:
        rows = rows.filter(workspace__tenant__slug=tenant_slug)
    if workspace_slug:
        rows = rows.filter(workspace__slug=workspace_slug)
    member = rows.first()
    return _principal(member) if member else None


def open_memberships(user_id: UUID) -> QuerySet[WorkspaceMember]:
    """Of the workspaces that the user may enter."""
    return all_open_memberships().filter(user_id=user_id)


def all_open_memberships() -> QuerySet[WorkspaceMember]:
    """Members of both tenant and workspace, neither of them suspended or archived; with their tenant role."""
    membership = Membership.objects.filter(user=OuterRef("user"), tenant=OuterRef("workspace__tenant"))
    return (
        WorkspaceMember.objects.enterable()
        .annotate(
            tenant_role=Subquery(membership.values("role")), membership_id=Subquery(membership.values("id"))
        )
        .exclude(tenant_role=None)
        .select_related("user", "workspace__tenant")
    )


def _principal(member: WorkspaceMember) -> Principal:
    tenant = member.workspace.tenant
    return Principal(
        user_id=member.user_id,
        email=member.user.email,
        name=member.user.label,
        tenant=tenant.ref,
        tenant_name=tenant.name,
        tenant_role=member.tenant_role,  # type: ignore[attr-defined]  # annotated above
        workspace=member.workspace.ref,
        workspace_role=member.role,
        membership_id=member.membership_id,  # type: ignore[attr-defined]
        access_version=member.user.access_version,
        reply_language=member.user.reply_language,
    )
