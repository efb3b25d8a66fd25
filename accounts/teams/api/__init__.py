"""REST for the team: the tenant, its members, invitations, workspaces."""
