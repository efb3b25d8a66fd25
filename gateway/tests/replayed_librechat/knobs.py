"""The settings of the replayed LibreChat for tests; everything else follows from the requests."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One received request; the path includes its query, user_id is None without a valid token."""

    method: str
    path: str
    user_id: str | None
    body: Any
    conversation: str = ""  # from the header by which a proxy pins replicas
    replica: int = 0  # the port at which it arrived


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
    assistant_parts: bool = True  # earlier replies are sent to the model as lists of parts, not as strings
    start_delay: float = 0.02  # between the response to a start and its first frame
    store_delay: float = 0.05  # between the stream's end and the stored reply
    retry_delay: float = 0.01
    max_retries: int = 7
    recursion_limit: int = 25  # model calls in one turn
    summarises: bool = False
    refuses_servers: bool = False  # as without mcpSettings, which allow private addresses
    break_stream_after: int | None = None  # cuts a turn's stream after this many frames, once per turn
    down: bool = False
    capabilities: list[str] = field(default_factory=lambda: ["tools"])  # of endpoints.agents
    takes_hyphens: bool = False  # in titles of MCP servers, as since v0.8.8
    flattens_tools: bool = False  # tool calls are sent to the model in a user message, as with newer SDKs
    loses_streams: bool = False  # a stream ends with an error although the reply is stored
    loses_beginnings: int = 0  # pieces of text that are missing in a stream at another replica
    is_torn: bool = False  # as if each stream were read at another replica
    build: dict[str, Any] = field(default_factory=dict)  # part of /api/config: {"buildInfo": {…}}
    requests: list[Call] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
