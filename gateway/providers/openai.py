"""Providers that speak OpenAI's chat completions, streamed.

Protocol: https://platform.openai.com/docs/api-reference/chat/streaming
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, TypeGuard

import httpx

from gateway.providers.base import (
    Finish,
    JsonObject,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.http import client
from gateway.providers.soundness import SoundText, sound
from gateway.providers.sse import DataParser, FrameTooLong
from kit.errors import ContextTooLong, DomainError, ProviderError, ProviderTimeout

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}


class OpenAIProvider:
    """Calls `<base_url>/v1/chat/completions`; the bill stays within `max_tokens`."""

    name = "openai"

    def __init__(self, base_url: str, *, api_key: str = "") -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            async with client().stream(
                "POST", self._url("/v1/chat/completions"), json=self._body(request), headers=self._headers
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refusal(response.status_code, await response.aread())
                async for event in self._events(response):
                    yield event
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise ProviderError(
                "The model's provider cannot be reached.", provider=self.name, did_no_work=True
            ) from exc
        except httpx.TimeoutException as exc:
            raise ProviderTimeout(provider=self.name) from exc
        except (httpx.HTTPError, FrameTooLong) as exc:
            raise ProviderError(provider=self.name) from exc

    async def _events(self, response: httpx.Response) -> AsyncGenerator[ModelEvent, None]:
        """Everything up to `[DONE]`; a stream that ends without a finish reason broke off.

        What the connection does after `[DONE]` is nobody's concern.
        """
        text, finish = SoundText(), None
        async with aclosing(_data_of(response)) as lines:
            async for data in lines:
                for event in self._parse(data):
                    match event:
                        case Finish():
                            finish = event  # usage comes after it on the wire
                        case TextDelta(piece):
                            if whole := text.add(piece):
                                yield TextDelta(whole)
                        case _:
                            yield event
        if rest := text.end():
            yield TextDelta(rest)
        if finish is None:
            raise ProviderError(
                "The provider broke off in mid-reply.", provider=self.name, provider_status=200
            )
        yield finish

    def _parse(self, data: str) -> Iterator[ModelEvent]:
        try:
            chunk = json.loads(data)
        except ValueError as exc:
            raise self._garbled() from exc
        if not isinstance(chunk, dict):
            raise self._garbled()
        if chunk.get("error"):
            raise ProviderError(provider=self.name, provider_status=200)
        yield from parse_chunk(chunk)

    def _garbled(self) -> ProviderError:
        return ProviderError("The provider's answer makes no sense.", provider=self.name, provider_status=200)

    def _body(self, request: ModelRequest) -> JsonObject:
        body: JsonObject = {
            **request.extra,
            "model": request.model,
            "messages": request.messages,
            "max_tokens": request.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.tools:
            body["tools"] = request.tools
        return body

    def _refusal(self, status: int, body: bytes) -> DomainError:
        """What a status other than 200 means; the provider's own words stay out, they may hold the key."""
        if status == httpx.codes.BAD_REQUEST and _mentions_context(body):
            return ContextTooLong()
        return ProviderError(provider=self.name, provider_status=status, did_no_work=True)

    def _url(self, path: str) -> str:
        return f"{self.base_url}{path}"

    async def count_prompt(self, request: ModelRequest) -> int | None:
        return None

    async def count_text(self, text: str) -> int | None:
        return None

    async def health(self) -> None:
        try:
            response = await client().get(self._url("/v1/models"), headers=self._headers, timeout=5)
        except httpx.HTTPError as exc:
            raise ProviderError(provider=self.name) from exc
        if response.status_code != httpx.codes.OK:
            raise ProviderError(provider=self.name, provider_status=response.status_code)


async def _data_of(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The data of each event before `[DONE]`."""
    parser = DataParser()
    async for chunk in response.aiter_bytes():
        for data in parser.feed(chunk):
            if data == "[DONE]":
                return
            yield data


def parse_chunk(chunk: JsonObject) -> Iterator[ModelEvent]:
    """The events in one streamed chunk; fields that we do not know are skipped."""
    for choice in _objects(chunk.get("choices")):
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from _parse_delta(delta)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            yield Finish(reason if reason in FINISH_REASONS else "stop")
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        told, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if _is_count(told) and _is_count(written):  # else it is missing, which is not 0
            yield UsageReport(told, written)


def _parse_delta(delta: JsonObject) -> Iterator[ModelEvent]:
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        yield ReasoningDelta(sound(reasoning))
    if isinstance(delta.get("content"), str) and delta["content"]:
        yield TextDelta(delta["content"])
    pieces = _objects(delta.get("tool_calls"))
    calls = [_tool_call(piece, position) for position, piece in enumerate(pieces)]
    if calls:
        yield ToolCallDelta(calls)


def _tool_call(piece: JsonObject, position: int) -> JsonObject:
    """A piece of a tool call with everything of the type that clients rely on; it stands at `position`."""
    function = piece.get("function")
    function = function if isinstance(function, dict) else {}
    texts = {name: function[name] for name in ("name", "arguments") if isinstance(function.get(name), str)}
    index = piece.get("index")
    call: JsonObject = {
        "index": index if type(index) is int and index >= 0 else position,
        "function": {name: sound(text) for name, text in texts.items()},
    }
    if isinstance(piece.get("id"), str):
        call |= {"id": sound(piece["id"]), "type": "function"}
    return call


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _mentions_context(body: bytes) -> bool:
    return any(word in body for word in (b"context_length_exceeded", b"exceed_context_size"))
