"""The fields we add to a request that a compatible server refuses, learned from its refusals.

Clients cannot change these fields, so we have to avoid the refusal: the request is sent again without the
field, and later requests omit it from the start.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

from gateway.errors import ProviderError
from gateway.providers.refusals import INVALID

MOST_DIALECTS = 4096  # the least recently used is forgotten
OUTPUT_BOUNDS = ("max_tokens", "max_completion_tokens")
UNKNOWN_FIELD = ("unsupported", "not supported", "unknown", "unrecognized", "not permitted", "unexpected")
Server = tuple[str, str]  # base URL and upstream model


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which fields one model of a server accepts."""

    output_bound: str
    takes_stream_options: bool = True


class Dialects:
    """The dialects that this process has learned. Thread-safe."""

    def __init__(self) -> None:
        self._learned: OrderedDict[Server, Dialect] = OrderedDict()
        self._lock = Lock()

    def of(self, server: Server, *, output_bound: str) -> Dialect:
        with self._lock:
            if server in self._learned:
                self._learned.move_to_end(server)
            return self._learned.get(server, Dialect(output_bound))

    def learn(self, server: Server, dialect: Dialect) -> None:
        with self._lock:
            self._learned[server] = dialect
            while len(self._learned) > MOST_DIALECTS:
                self._learned.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._learned.clear()


def after_refusal(dialect: Dialect, error: ProviderError) -> Dialect | None:
    """The dialect to try next; None if the refusal is not about a field of ours."""
    if error.details["provider_status"] not in INVALID:
        return None
    words = " ".join(str(error.details.get(name, "")) for name in ("provider_message", "provider_param"))
    if "stream_options" in words and dialect.takes_stream_options:
        return replace(dialect, takes_stream_options=False)
    if dialect.output_bound in words:
        other = next(name for name in OUTPUT_BOUNDS if name != dialect.output_bound)
        is_unknown = other in words or any(word in words.lower() for word in UNKNOWN_FIELD)
        return replace(dialect, output_bound=other) if is_unknown else None
    return None


_dialects = Dialects()


def dialects() -> Dialects:
    return _dialects
