"""Sign-in: accounts, sessions, tokens, two-factor authentication, issuers, recovery, profile."""
