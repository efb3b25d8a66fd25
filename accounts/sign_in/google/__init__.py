"""Signing in with Google."""
