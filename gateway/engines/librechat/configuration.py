"""Builds LibreChat's two configuration files: `librechat.yaml` and `.env`.

LibreChat prints all of `librechat.yaml` to its log at each start, so every secret is in `.env` only.
"""

import ipaddress
import re
import secrets
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import yaml
from django.core.exceptions import ImproperlyConfigured

Section = dict[str, object]

CONFIG_VERSION = "1.3.17"  # of LibreChat v0.8.8; another release only logs the difference
DEFAULT_MONGO_URL = "mongodb://mongodb:27017/LibreChat"
HIGHEST = "1000000"
SECRET = re.compile(r"[A-Za-z0-9._~+/=-]+")
ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")

IN_ENV = "EGRESS_SECRET"  # the name in `.env` of the secret that LibreChat sends to the egress
LOOPBACK, PORT = "127.0.0.1", "3080"

# LibreChat's own secrets, with their sizes in bytes. Losing them ends every session and loses encrypted data.
OWN_SECRETS = {"CREDS_KEY": 32, "CREDS_IV": 16, "JWT_SECRET": 32, "JWT_REFRESH_SECRET": 32}

ENGINE_HEADERS = {
    "x-engine-user": "{{LIBRECHAT_USER_ID}}",
    "x-conversation": "{{LIBRECHAT_BODY_CONVERSATIONID}}",
    "x-message": "{{LIBRECHAT_BODY_MESSAGEID}}",
    "x-parent": "{{LIBRECHAT_BODY_PARENTMESSAGEID}}",
}

ENVIRONMENT = {
    "ALLOW_EMAIL_LOGIN": "true",
    "ALLOW_REGISTRATION": "true",
    "ALLOW_SOCIAL_LOGIN": "false",
    "LIMIT_CONCURRENT_MESSAGES": "false",
    "LIMIT_MESSAGE_IP": "false",
    "LIMIT_MESSAGE_USER": "false",
    "BAN_VIOLATIONS": "false",
    "LOGIN_MAX": HIGHEST,  # all traffic comes from one address
    "REGISTER_MAX": HIGHEST,
    "SEARCH": "false",
    "DEBUG_LOGGING": "false",  # its debug log contains messages
}

# Features that people never see are off. `agents` and `mcpServers` stay: turns and tools go through them.
DISABLED = {"use": False, "create": False, "share": False, "public": False}
INTERFACE: Section = {
    "agents": {"use": True, "create": False, "share": False, "public": False},
    "mcpServers": {"use": True, "create": True, "share": False, "public": False},
    "prompts": DISABLED,
    "remoteAgents": DISABLED,
    "skills": DISABLED,
    "sharedLinks": {"create": False, "share": False, "public": False},
    "marketplace": {"use": False},
    "peoplePicker": {"users": False, "groups": False, "roles": False},
    "bookmarks": False,
    "memories": False,
    "presets": False,
    "multiConvo": False,
    "temporaryChat": False,
    "runCode": False,
    "webSearch": False,
    "fileSearch": False,
    "fileCitations": False,
}


class _Dumper(yaml.SafeDumper):
    """Repeats shared parts instead of writing anchors and aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def librechat_yaml(*, egress_url: str, most_calls: int) -> str:
    """The whole `librechat.yaml`: one endpoint, our egress, and no feature that calls models by itself."""
    header = "# Written by `manage.py librechat_config`, which overwrites it. Its secrets are in .env.\n"
    content = configuration(egress_url=egress_url, most_calls=most_calls)
    return header + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def configuration(*, egress_url: str, most_calls: int) -> Section:
    """Its content. We enforce `most_calls` per turn ourselves, so LibreChat's own bound is just above it."""
    egress = _split(egress_url)
    steps = 2 * most_calls + 2  # a model call is one step, its tools are another
    addresses = {"allowedAddresses": [address]} if (address := _private_address(egress)) else {}
    return {
        "version": CONFIG_VERSION,
        "cache": True,
        "interface": INTERFACE,
        "registration": {"socialLogins": []},
        "balance": {"enabled": False},
        "transactions": {"enabled": False},  # two database writes a model call; the ledger is ours
        "summarization": {"enabled": False},
        "memory": {"disabled": True},
        **({"mcpSettings": addresses} if addresses else {}),
        "endpoints": {
            **addresses,
            "agents": {
                "recursionLimit": steps,
                "maxRecursionLimit": steps,
                "disableBuilder": True,
                "capabilities": ["tools"],
            },
            "custom": [_routed(base_url=f"{egress_url.rstrip('/')}/v1")],
        },
    }


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where LibreChat listens; empty: as in its existing `.env`, else on this machine's loopback only."""

    host: str = ""
    port: str = ""

    def values(self, before: dict[str, str]) -> dict[str, str]:
        """HOST, PORT and DOMAIN_*. With a name other than localhost, LibreChat's cookies are Secure, but we
        use plain HTTP. A name that `.env` already has, for a TLS proxy in front, is preserved."""
        port = self.port or before.get("PORT") or PORT
        domain = f"http://localhost:{port}"
        values = {"HOST": self.host or before.get("HOST") or LOOPBACK, "PORT": port}
        for name in ("DOMAIN_CLIENT", "DOMAIN_SERVER"):
            values[name] = before.get(name) or domain
            if self.port and values[name] == f"http://localhost:{before.get('PORT')}":
                values[name] = domain
        return values


def librechat_env(
    *, secret: str, mongo_url: str = "", existing: str = "", address: ListenAddress | None = None
) -> str:
    """The whole `.env`. Preserves LibreChat's own secrets, database and address, and the operator's lines.

    `secret` authenticates LibreChat at the egress. `existing` is the file's text so far, which `mongo_url`
    and `address` override.
    """
    if not SECRET.fullmatch(secret):
        raise ImproperlyConfigured("The first of EGRESS_SECRETS may have letters, digits and ._~+/=- only.")
    before = _assignments(existing)
    mongo = _plain(mongo_url) or before.get("MONGO_URI") or DEFAULT_MONGO_URL
    own = {name: before.get(name) or secrets.token_hex(size) for name, size in OWN_SECRETS.items()}
    values = {
        "MONGO_URI": mongo,
        **own,
        IN_ENV: secret,
        **(address or ListenAddress()).values(before),
        **ENVIRONMENT,
    }
    others = {name: value for name, value in before.items() if name not in values}
    lines = ["# Written by `manage.py librechat_config`. It holds secrets that are made only once: keep it."]
    lines += [f"{name}={value}" for name, value in values.items()]
    if others:
        lines += ["# Not from there, and left alone."]
        lines += [f"{name}={value}" for name, value in others.items()]
    return "\n".join(lines) + "\n"


def _routed(*, base_url: str) -> Section:
    return {
        "name": "Routed",
        "apiKey": f"${{{IN_ENV}}}",
        "baseURL": base_url,
        "models": {"default": ["routed"], "fetch": False},
        "titleConvo": False,
        "streamRate": 0,  # otherwise LibreChat delays each piece of text by 25 ms
        "addParams": {"streamUsage": True},  # without it LibreChat reports no usage
        "headers": ENGINE_HEADERS,
    }


def _split(egress_url: str) -> SplitResult:
    parts = urlsplit(egress_url)
    try:
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.username or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"EGRESS_URL={egress_url!r} is not of the form http://host:port.")
    return parts


def _private_address(egress: SplitResult) -> str:
    """`host:port` for LibreChat's list of private addresses; empty for a public IP, which it refuses."""
    host = egress.hostname or ""
    try:
        if ipaddress.ip_address(host).is_global:
            return ""
    except ValueError:
        pass  # a name
    port = egress.port or {"http": 80, "https": 443}[egress.scheme]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _plain(mongo_url: str) -> str:
    known = not mongo_url or mongo_url.startswith(("mongodb://", "mongodb+srv://"))
    if not known or re.search(r"[\s'\"#]", mongo_url):
        raise ImproperlyConfigured("The Mongo URL begins with mongodb:// and has no blanks, quotes or #.")
    return mongo_url


def _assignments(text: str) -> dict[str, str]:
    """The `NAME=value` lines of a `.env`, with raw values."""
    found = (ASSIGNMENT.match(line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}
