"""The models of accounts; all tables are in the public schema."""

from accounts.models.api_keys import ApiKey
from accounts.models.audit import AuditEntry
from accounts.models.departures import Departure
from accounts.models.engines import EngineAccount, EngineCheck
from accounts.models.invitations import (
    Invitation,
    InvitationMail,
    InvitationWorkspace,
    OwnershipOffer,
    WorkspaceLink,
)
from accounts.models.mail import OutgoingMail
from accounts.models.pictures import Picture
from accounts.models.refusals import Refusal
from accounts.models.tenants import Domain, Founding, Membership, SchemaScript, Tenant
from accounts.models.token_families import EndedFamily
from accounts.models.users import User
from accounts.models.workspaces import Workspace, WorkspaceMember

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Departure",
    "Domain",
    "EndedFamily",
    "EngineAccount",
    "EngineCheck",
    "Founding",
    "Invitation",
    "InvitationMail",
    "InvitationWorkspace",
    "Membership",
    "OutgoingMail",
    "OwnershipOffer",
    "Picture",
    "Refusal",
    "SchemaScript",
    "Tenant",
    "User",
    "Workspace",
    "WorkspaceLink",
    "WorkspaceMember",
]
