"""The pages of a team: its members, invitations, service accounts."""
