"""Identity and access: users, tenants, workspaces and their members."""
