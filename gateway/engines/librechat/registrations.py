"""MCP servers as engine accounts know them: who calls at which address, and what tools are called there.

In a shared conversation several people use one engine account, each with addresses of their own: a call tells
by its address whose it is.

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
CLAIM_SECONDS = 30.0  # what registering one may take
LONGEST_NAME = 24  # of a server at the engine: what we ask for, and a number where that is taken
ROOM = LONGEST - len(SEPARATOR) - LONGEST_NAME  # for a tool's own name


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
    """What a server and its tools are called here, for names that the engine tells."""

    slug: str
    tools: dict[str, str]  # by the name at the engine

    @classmethod
    def of(cls, server: ServerRef) -> "KnownServer":
        return cls(server.slug, {engine_name(tool.name): tool.name for tool in server.tools})


def engine_name(tool: str) -> str:
    """A tool's name as the engine is told it: short enough for every provider, the server's name included."""
    plain = INVALID.sub("_", tool).replace(SEPARATOR, "_")
    if plain == tool and len(tool) <= ROOM:
        return tool
    mark = hashlib.sha256(tool.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{plain[: ROOM - DIGEST_LENGTH - 1]}_{mark}"


def find_tool(server: ServerRef, name: str) -> ToolRef | None:
    """By its name at the engine."""
    return next((tool for tool in server.tools if engine_name(tool.name) == name), None)


def split_name(wire_name: str) -> tuple[str, str]:
    """A tool's and its server's name, as the engine puts them together; the latter may be missing: empty."""
    tool, mark, server = wire_name.rpartition(SEPARATOR)
    return (tool, server) if mark else (wire_name, "")


def registered_servers(
    *, engine_account_id: UUID, user_id: UUID, servers: Iterable[ServerRef]
) -> dict[str, ServerRef]:
    """Those of the servers that the account has for this person, by what the engine calls them."""
    by_id = {server.id: server for server in servers}
    rows = EngineServer.objects.filter(
        engine_account_id=engine_account_id, user_id=user_id, server_id__in=by_id
    )
    return {row.name: by_id[row.server_id] for row in rows if row.name}


def find_registration(*, engine_account_id: UUID, server_id: UUID, user_id: UUID) -> Registration:
    """Its row is made on first use, once however many ask at a time."""
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
    """Whether it is ours to tell the engine: one does it, the others wait for it and look again."""
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
    """The row whose secret the engine shows; None for whoever does not know it."""
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
