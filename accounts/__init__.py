"""Who is who, and where they may enter: users, tenants, workspaces and their members."""
