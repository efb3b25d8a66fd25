"""Both scripted providers behind one port, with a record of their requests.

`GET /control/requests?model=…` returns an upstream model's requests; `POST /control/reset` forgets them all.
"""

import threading
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs

from tests.compat.providers import (
    anthropic_messages,
    anthropic_requests,
    openai_chat,
    openai_embeddings,
    openai_requests,
)
from tests.compat.providers.http import Call, JsonObject, Refused, read_call, send_json, send_stream

PROVIDER_KEY = "provider-key-of-these-tests"
RETRY_AFTER_SECONDS = 2  # longer than the installation itself waits, so clients have to wait


class ScriptedProviders:
    """An ASGI application. Models named `busy…` answer 429, `busy-once` only to every other request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self.calls: defaultdict[str, list[JsonObject]] = defaultdict(list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        try:
            call = await read_call(scope, receive)
            if call.path.startswith("/control/"):
                await self._control(call, scope, send)
            else:
                await self._answer(call, send)
        except Refused as refused:
            await send_json(send, refused.status, refused.body, refused.headers)

    async def _control(self, call: Call, scope: dict[str, Any], send: Any) -> None:
        if call.path == "/control/reset":
            self.reset()
            await send_json(send, 200, {})
        else:
            model = parse_qs(scope["query_string"].decode())["model"][0]
            await send_json(send, 200, self.calls[model])

    async def _answer(self, call: Call, send: Any) -> None:
        api, _, route = call.path.removeprefix("/").partition("/v1/")
        protocol: Any = anthropic_requests if api == "anthropic" else openai_requests
        protocol.check_key(call, PROVIDER_KEY)
        if route == "models":
            await send_json(send, 200, {"object": "list", "data": []})
            return
        model = str(call.body.get("model"))
        with self._lock:
            seen = len(self.calls[model])
            self.calls[model].append({"route": route, "headers": call.headers, "body": call.body})
        if model.startswith("busy") and not (model == "busy-once" and seen % 2):
            raise protocol.busy(RETRY_AFTER_SECONDS)
        match api, route:
            case "openai", "chat/completions":
                answer = openai_chat.answer(call.body)
            case "openai", "embeddings":
                answer = openai_embeddings.answer(call.body)
            case "anthropic", "messages":
                answer = anthropic_messages.answer(call)
            case "anthropic", "messages/count_tokens":
                answer = anthropic_messages.count(call.body)
            case _:
                raise protocol.error(404, f"Unknown request URL: POST /v1/{route}.")
        if isinstance(answer, dict):
            await send_json(send, 200, answer)
        else:
            await send_stream(send, answer)
