"""The settings of a team and its workspaces, as pages."""
