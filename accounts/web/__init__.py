"""The pages of accounts: arriving, one's own account, the team and its settings."""
