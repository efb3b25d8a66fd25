"""Teams: tenants, members, invitations, workspaces and who is in them."""
