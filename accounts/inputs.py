"""Fields that inputs of accounts share."""

from typing import Annotated

from accounts.models import Membership, WorkspaceMember
from kit.fields import Choice, Line

WORKSPACE_ROLES = WorkspaceMember.Role.choices
GIVEN_ROLES = [choice for choice in Membership.Role.choices if choice[0] != Membership.Role.OWNER]

Name = Annotated[str, Line(100)]
WorkspaceRole = Annotated[str, Choice(WORKSPACE_ROLES)]
GivenRole = Annotated[str, Choice(GIVEN_ROLES)]
