"""Who acts, for which tenant and in which workspace: checked against the database at each use."""

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

    `workspace_role` is empty for those who oversee a workspace without being in it. `scopes` is None for a
    person; a key brings its own, its prefix and id, and the one workspace that it may be bound to.
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
    reply_language: str = ""  # a code of accounts.sign_in.profile; empty: the question's
    scopes: frozenset[Scope] | None = None
    api_key: str = ""
    api_key_id: UUID | None = None
    is_bound: bool = False
    family: UUID | None = None  # of the tokens that a sign-in over the API led to

    @property
    def bounds(self) -> tuple[UUID, int]:
        """What ends whatever was let in by it: leaving the tenant, even to come back, and a new password."""
        return self.membership_id, self.access_version


def find_principal(
    *, user_id: UUID, tenant_slug: str, workspace_slug: str, family: UUID | None = None
) -> Principal | None:
    """One indexed read; None unless the person may enter this workspace now, and that family is not over."""
    places = open_places(user_id).filter(workspace__tenant__slug=tenant_slug, workspace__slug=workspace_slug)
    if family is not None:
        places = places.exclude(Exists(EndedFamily.objects.filter(id=family)))
    place = places.first()
    return replace(_principal(place), family=family) if place else None


def may_chat(user_id: UUID, workspace_id: UUID) -> bool:
    """Asked anew at each step of a running turn."""
    return bool(chat_role(user_id, workspace_id))


def who_may_chat(places: Collection[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Those of the pairs (user, workspace) whose person may chat there right now; one read for all."""
    users, workspaces = {user for user, _ in places}, {workspace for _, workspace in places}
    rows = all_open_places().filter(user__in=users, workspace__in=workspaces)
    found = {(row.user_id, row.workspace_id) for row in rows if may(_principal(row), Action.CHAT)}
    return found & set(places)


def chat_role(user_id: UUID, workspace_id: UUID) -> str:
    """The role by which somebody may chat in a workspace right now; empty where they may not."""
    place = open_places(user_id).filter(workspace=workspace_id).first()
    return place.role if place is not None and may(_principal(place), Action.CHAT) else ""


def in_workspace(principal: Principal, workspace_slug: str | None) -> Principal:
    """The same person in another workspace of the same tenant; NotFound where they may not enter."""
    if not workspace_slug or workspace_slug == principal.workspace.slug:
        return principal
    if principal.is_bound:
        raise NotFound  # whether there is such a workspace is not for this key to know
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
    """In the workspace as its member, or above it as one who oversees them all, archived ones too."""
    try:
        return in_workspace(principal, workspace_slug)
    except NotFound:
        if not may(principal, Action.WORKSPACE_OVERSEE):
            raise
    workspace = Workspace.objects.filter(
        tenant_id=principal.tenant.id, slug=workspace_slug, deleted_at=None
    ).first()
    if workspace is None:
        raise NotFound
    return replace(principal, workspace=workspace.ref, workspace_role="")


def find_in_or_above(*, user_id: UUID, tenant_slug: str, workspace_slug: str) -> Principal:
    """A person in that workspace, or above it; NotFound for a stranger."""
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
    """The first place that the person joined, within the tenant and workspace where they are named."""
    places = open_places(user_id).order_by("created_at", "id")
    if tenant_slug:
        places = places.filter(workspace__tenant__slug=tenant_slug)
    if workspace_slug:
        places = places.filter(workspace__slug=workspace_slug)
    place = places.first()
    return _principal(place) if place else None


def open_places(user_id: UUID) -> QuerySet[WorkspaceMember]:
    """The workspaces a person may enter."""
    return all_open_places().filter(user_id=user_id)


def all_open_places() -> QuerySet[WorkspaceMember]:
    """Where people may enter: both memberships there, nothing suspended or archived."""
    membership = Membership.objects.filter(user=OuterRef("user"), tenant=OuterRef("workspace__tenant"))
    return (
        WorkspaceMember.objects.filter(
            user__is_active=True,
            workspace__archived_at=None,
            workspace__tenant__suspended_at=None,
        )
        .annotate(
            tenant_role=Subquery(membership.values("role")), membership_id=Subquery(membership.values("id"))
        )
        .exclude(tenant_role=None)
        .select_related("user", "workspace__tenant")
    )


def _principal(place: WorkspaceMember) -> Principal:
    tenant = place.workspace.tenant
    return Principal(
        user_id=place.user_id,
        email=place.user.email,
        name=place.user.label,
        tenant=tenant.ref,
        tenant_name=tenant.name,
        tenant_role=place.tenant_role,  # type: ignore[attr-defined]  # annotated in open_places
        workspace=place.workspace.ref,
        workspace_role=place.role,
        membership_id=place.membership_id,  # type: ignore[attr-defined]
        access_version=place.user.access_version,
        reply_language=place.user.reply_language,
    )
