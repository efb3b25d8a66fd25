"""The id and client address of the current request, for logs and the audit."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from uuid import uuid4

import structlog

from kit.networks import network_of

NO_NETWORK = "unknown"  # for peers on a unix socket
CLEAN_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """`address` is None if the server listens on a unix socket or the peer is unknown."""

    request_id: str = ""
    address: str | None = None


NO_REQUEST = RequestOrigin()
_current: ContextVar[RequestOrigin] = ContextVar("request_origin", default=NO_REQUEST)


def begin(sent_id: str | None, address: str | None) -> RequestOrigin:
    """Starts a request: uses the client's id if it is clean, else a new one, and adds it to the logs."""
    request_id = sent_id if sent_id and CLEAN_ID.fullmatch(sent_id) else uuid4().hex
    origin = RequestOrigin(request_id=request_id, address=_valid_address(address))
    _current.set(origin)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return origin


def current() -> RequestOrigin:
    return _current.get()


def forwarded_address(peer: str | None, forwarded_for: str, *, behind_proxy: bool) -> str | None:
    """The client's address: the last one, which the trusted proxy added, or the peer without a proxy."""
    if behind_proxy and forwarded_for:
        return forwarded_for.rsplit(",", 1)[-1].strip()
    return peer


def current_network() -> str:
    """The client's network, for rate limits; all peers without an address share one."""
    address = current().address
    return network_of(address) if address else NO_NETWORK


def _valid_address(address: str | None) -> str | None:
    """The normalised address: a server that listens on IPv6 and IPv4 sees IPv4 mapped into IPv6."""
    try:
        parsed = ip_address(address) if address else None
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed) if parsed else None
