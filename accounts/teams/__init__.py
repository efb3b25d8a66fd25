"""Teams: tenants, members, invitations, and workspaces with their members."""
