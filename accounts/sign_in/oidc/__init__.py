"""Signing in with any OpenID Connect issuer that the operator names."""
