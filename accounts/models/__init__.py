"""Everything of accounts that the database keeps; all of it in the public schema."""

from accounts.models.audit import AuditEntry
from accounts.models.engines import EngineAccount, EngineCheck
from accounts.models.tenants import Domain, Membership, Tenant
from accounts.models.users import User
from accounts.models.workspaces import Workspace, WorkspaceMember

__all__ = [
    "AuditEntry",
    "Domain",
    "EngineAccount",
    "EngineCheck",
    "Membership",
    "Tenant",
    "User",
    "Workspace",
    "WorkspaceMember",
]
