"""Registrations of MCP servers in engine accounts: the caller by URL, and the tools' names at the engine.

In a shared conversation several people use one engine account, each with URLs of their own: the URL of a call
identifies its person.

An engine calls a tool `<tool>_mcp_<server>`, with the server's name as the engine chose it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from gateway.calls.tool_names import DIGEST_LENGTH, INVALID, LONGEST, SEPARATOR
from gateway.models import EngineServer
from kit.secrets import seal, unseal
from workspaces.mcp_servers.queries import ServerRef, ToolRef

SECRET_BYTES = 32
CLAIM_SECONDS = 30.0  # for registering one
LONGEST_NAME = 24  # of a server at the engine: our title, and a number if that is taken
LONGEST_TOOL = LONGEST - len(SEPARATOR) - LONGEST_NAME  # the characters left for a tool's own name


@dataclass(frozen=True, slots=True)
class Registration:
    """One server in one engine account, as plain data."""

    id: UUID
    name: str
    version: int
    sealed_secret: str = field(repr=False)

    @property
    def secret(self) -> str:
        return unseal(self.sealed_secret)


@dataclass(frozen=True, slots=True)
class KnownServer:
    """Our names of a server and its tools."""

    slug: str
    tools: dict[str, str]  # by their names at the engine

    @classmethod
    def of(cls, server: ServerRef) -> "KnownServer":
        return cls(server.slug, {engine_name(tool.name): tool.name for tool in server.tools})


def engine_name(tool: str) -> str:
    """A tool's name at the engine: short enough for every provider, together with the server's name."""
    plain = INVALID.sub("_", tool).replace(SEPARATOR, "_")
    if plain == tool and len(tool) <= LONGEST_TOOL:
        return tool
    digest = hashlib.sha256(tool.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{plain[: LONGEST_TOOL - DIGEST_LENGTH - 1]}_{digest}"


def find_tool(server: ServerRef, name: str) -> ToolRef | None:
    """By its name at the engine."""
    return next((tool for tool in server.tools if engine_name(tool.name) == name), None)


def split_name(wire_name: str) -> tuple[str, str]:
    """The names of a tool and its server, from the engine's combined name; the server's may be empty."""
    tool, separator, server = wire_name.rpartition(SEPARATOR)
    return (tool, server) if separator else (wire_name, "")


def registered_servers(
    *, engine_account_id: UUID, user_id: UUID, servers: Iterable[ServerRef]
) -> dict[str, ServerRef]:
    """Those of the servers that the account has for this person, by their names at the engine."""
    by_id = {server.id: server for server in servers}
    rows = EngineServer.objects.filter(
        engine_account_id=engine_account_id, user_id=user_id, server_id__in=by_id
    )
    return {row.name: by_id[row.server_id] for row in rows if row.name}


def find_registration(*, engine_account_id: UUID, server_id: UUID, user_id: UUID) -> Registration:
    """Creates the row on first use, once for any number of concurrent callers."""
    known = EngineServer.objects.filter(
        engine_account_id=engine_account_id, server_id=server_id, user_id=user_id
    )
    if not known.exists():
        fresh = EngineServer(
            engine_account_id=engine_account_id,
            server_id=server_id,
            user_id=user_id,
            sealed_secret=seal(secrets.token_urlsafe(SECRET_BYTES)),
        )
        EngineServer.objects.bulk_create([fresh], ignore_conflicts=True)
    return _ref(known.get())


def claim_registration(seen: Registration) -> bool:
    """Whether the caller registers it at the engine: one does, the others wait and read it again."""
    free = Q(claimed_until=None) | Q(claimed_until__lt=timezone.now())
    until = timezone.now() + timedelta(seconds=CLAIM_SECONDS)
    as_seen = EngineServer.objects.filter(free, id=seen.id, name=seen.name, version=seen.version)
    return bool(as_seen.update(claimed_until=until))


def note_registration(registration_id: UUID, *, name: str, version: int) -> None:
    row = EngineServer.objects.filter(id=registration_id)
    row.update(name=name, version=version, claimed_until=None)


def release_registration(registration_id: UUID) -> None:
    EngineServer.objects.filter(id=registration_id).update(claimed_until=None)


def find_caller(registration_id: UUID, secret: str) -> EngineServer | None:
    """The row, if the engine sent its secret."""
    row = EngineServer.objects.filter(id=registration_id).first()
    if row is None or not hmac.compare_digest(unseal(row.sealed_secret).encode(), secret.encode()):
        return None
    return row


def _ref(row: EngineServer) -> Registration:
    return Registration(
        id=row.id,
        name=row.name,
        version=row.version,
        sealed_secret=row.sealed_secret,
    )
