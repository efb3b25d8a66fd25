"""Sign-in with any OpenID Connect issuer that the operator configures."""
