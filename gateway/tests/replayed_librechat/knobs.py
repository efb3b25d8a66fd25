"""What a test may set on the replayed LibreChat; everything else follows from the requests."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One request as it arrived; the path keeps its query, user_id is None without a valid token."""

    method: str
    path: str
    user_id: str | None
    body: Any


def _endpoints() -> dict[str, list[str]]:
    return {"Routed": ["routed"]}


@dataclass
class Knobs:
    """Times are seconds. Counters: starts, resumed, replaced, model_calls, streams, aborts, stored."""

    egress_url: str | None = None
    secret: str = ""
    endpoints: dict[str, list[str]] = field(default_factory=_endpoints)
    mcp_servers: set[str] = field(default_factory=lambda: {"calc"})
    stream_usage: bool = True  # librechat.yaml's addParams.streamUsage
    assistant_parts: bool = True  # earlier replies reach the model as lists of parts, not as strings
    start_delay: float = 0.02  # between the answer to a start and its first frame
    store_delay: float = 0.05  # between the stream's end and the stored reply
    retry_delay: float = 0.01
    max_retries: int = 7
    recursion_limit: int = 25  # model calls in one turn
    summarises: bool = False
    refuses_servers: bool = False  # as without mcpSettings, which would let it call a private address
    break_stream_after: int | None = None  # cuts a turn's stream after so many frames, once a turn
    down: bool = False
    requests: list[Call] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
