"""Sign-in: accounts, sessions, tokens, second steps, other issuers, recovery, and the own account."""
