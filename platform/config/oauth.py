"""Turns the operator's sign-in providers (Google, GitHub, Microsoft, OpenID Connect) into settings."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

ISSUER_ID = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")
REQUIRED = {"id", "name", "issuer", "client_id", "client_secret"}
OPTIONAL = {"trust_email"}
BUILT_IN = {"google", "github", "microsoft", "openid_connect"}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
Client = tuple[str, str]


def client(name: str, client_id: str, secret: str) -> Client | None:
    """The id and secret of our client at a provider; None if neither is set."""
    if bool(client_id) != bool(secret):
        raise ImproperlyConfigured(f"Set both {name}_CLIENT_ID and {name}_CLIENT_SECRET, or neither.")
    return (client_id, secret) if client_id else None


def providers(
    *,
    google: Client | None,
    github: Client | None,
    microsoft: Client | None,
    microsoft_tenant: str,
    issuers: list[dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """`SOCIALACCOUNT_PROVIDERS`: every flow with PKCE; a provider without a client shows no button."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+", microsoft_tenant):
        raise ImproperlyConfigured("MICROSOFT_TENANT is a tenant's id or domain, common or organizations.")
    ours: dict[str, dict[str, Any]] = {
        "google": {
            "provider_class": "accounts.sign_in.google.provider.GoogleProvider",
            "APPS": _apps(google),
        },
        "github": {"APPS": _apps(github)},
        "microsoft": {"APPS": _apps(microsoft), "TENANT": microsoft_tenant},
        "openid_connect": {
            "provider_class": "accounts.sign_in.oidc.provider.OpenIDConnectProvider",
            "APPS": _issuers(issuers),
        },
    }
    return {name: {**provider, "OAUTH_PKCE_ENABLED": True} for name, provider in ours.items()}


def _apps(client: Client | None) -> list[dict[str, Any]]:
    return [{"client_id": client[0], "secret": client[1], "key": ""}] if client else []


def _issuers(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    apps = [_issuer(number, entry) for number, entry in enumerate(entries, start=1)]
    ids = [app["provider_id"] for app in apps]
    if len(ids) != len(set(ids)):
        raise ImproperlyConfigured("OIDC_PROVIDERS has the same id twice.")
    return apps


def _issuer(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    """One issuer's app. Messages name the number of the entry and the wrong key, never a value."""
    where = f"OIDC_PROVIDERS, entry {number}"
    if missing := sorted(REQUIRED - entry.keys()):
        raise ImproperlyConfigured(f"{where} lacks {', '.join(missing)}.")
    if unknown := sorted(entry.keys() - REQUIRED - OPTIONAL):
        raise ImproperlyConfigured(f"{where}: {', '.join(unknown)} is unknown.")
    if wrong := sorted(key for key in REQUIRED if not isinstance(entry[key], str) or not entry[key].strip()):
        raise ImproperlyConfigured(f"{where}: {', '.join(wrong)} must be text.")
    if not isinstance(entry.get("trust_email", True), bool):
        raise ImproperlyConfigured(f"{where}: trust_email is true or false.")
    if not ISSUER_ID.fullmatch(entry["id"]) or entry["id"] in BUILT_IN:
        raise ImproperlyConfigured(
            f"{where}: id must be lowercase letters, digits and hyphens, and not a built-in provider."
        )
    if not _is_issuer(entry["issuer"]):
        raise ImproperlyConfigured(f"{where}: issuer must be an https:// address without a query.")
    return {
        "provider_id": entry["id"],
        "name": entry["name"],
        "client_id": entry["client_id"],
        "secret": entry["client_secret"],
        "key": "",
        "settings": {
            "server_url": entry["issuer"].rstrip("/"),
            "email_authentication": entry.get("trust_email", True),
        },
    }


def _is_issuer(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or parts.username or "/.well-known/" in parts.path:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
