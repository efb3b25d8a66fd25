"""An MCP server with the two tools that scripted models call, over Streamable HTTP without sessions."""

import json
from typing import Any

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = {"get_weather": ("The weather in a city", CITY), "get_time": ("The time", NOTHING)}
RESULTS = {"get_weather": "It is sunny there.", "get_time": "It is noon."}


def answer_tool_server(method: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for one request."""
    if method != "POST":
        return 405, {}, b""
    request = json.loads(body)
    if "id" not in request:
        return 202, {}, b""
    reply = {
        "jsonrpc": "2.0",
        "id": request["id"],
        **_outcome(request["method"], request.get("params") or {}),
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(reply).encode()


def _outcome(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "result": {
                    "protocolVersion": params.get("protocolVersion"),
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "kit", "version": "1"},
                }
            }
        case "tools/list":
            return {
                "result": {
                    "tools": [
                        {"name": name, "description": description, "inputSchema": schema}
                        for name, (description, schema) in TOOLS.items()
                    ]
                }
            }
        case "tools/call" if params.get("name") in RESULTS:
            return {"result": {"content": [{"type": "text", "text": RESULTS[params["name"]]}]}}
        case "ping":
            return {"result": {}}
    return {"error": {"code": -32601, "message": "Method not found"}}
