"""Calls the egress like LibreChat's own client: streamed, with silent retries."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from gateway.tests.replayed_librechat.answers import Json
from gateway.tests.replayed_librechat.knobs import Knobs

NOT_RETRIED = {400, 401, 402, 403, 404, 405, 406, 407, 409, 429}
TROUBLESHOOTING = {401: "MODEL_AUTHENTICATION", 404: "MODEL_NOT_FOUND", 429: "MODEL_RATE_LIMIT"}


class ModelFailure(Exception):
    """Ends the turn; its text becomes the reply's error part."""


async def call_model(knobs: Knobs, headers: dict[str, str], body: Json) -> AsyncGenerator[Json, None]:
    """The reply's chunks; retries happen only before the first one."""
    async with httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client:
        for attempt in range(knobs.max_retries + 1):
            if attempt:
                await asyncio.sleep(knobs.retry_delay)
            knobs.counters["model_calls"] += 1
            url = f"{knobs.egress_url}/v1/chat/completions"
            call = client.build_request("POST", url, headers=headers, json=body)
            try:
                response = await client.send(call, stream=True)
            except httpx.TransportError:
                failure = "Connection error."
                continue
            try:
                if response.status_code == 200:
                    async for chunk in _chunks(response):
                        yield chunk
                    return
                failure = await _refusal(response)
            finally:
                await response.aclose()
            if response.status_code in NOT_RETRIED:
                break
        raise ModelFailure(failure)


async def _chunks(response: httpx.Response) -> AsyncGenerator[Json, None]:
    """Reads the whole body, including anything after `[DONE]`."""
    try:
        async for line in response.aiter_lines():
            if line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
                chunk = json.loads(data)
                if error := chunk.get("error"):
                    raise ModelFailure(_message(error))
                yield chunk
    except httpx.TransportError as exc:
        raise ModelFailure("terminated") from exc


async def _refusal(response: httpx.Response) -> str:
    status = response.status_code
    try:
        text = (await response.aread()).decode()
    except httpx.TransportError:
        return "Connection error."
    try:
        said = _message(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        said = text or "status code (no body)"
    page = TROUBLESHOOTING.get(status)
    hint = "https://docs.langchain.com/oss/javascript/langchain/errors/"
    return f"{status} {said}" + (f"\n\nTroubleshooting URL: {hint}{page}/\n" if page else "")


def _message(error: Any) -> str:
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])
    return error if isinstance(error, str) else json.dumps(error)
