"""Sends a recording's requests again and pairs each recorded response with ours."""

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.tests.replayed_librechat.recorded import Frame, frames, is_last
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient

Exchange = dict[str, Any]
OTHER_ROUTES = ("/api/keys", "/api/mcp/servers")
CHOSEN_BY_LIBRECHAT = ("streamId", "messageId", "conversationId", "parentMessageId")


@dataclass
class Pair:
    """A recorded response and ours; frames instead of a body for a stream."""

    request: Exchange
    recorded: Exchange
    status: int
    content_type: str
    body: Any = None
    frames: list[Frame] | None = None


class Replay:
    """A stream is opened right after its start and read concurrently with later requests, as recorded."""

    def __init__(self, client: EngineClient, recording: list[Exchange]) -> None:
        self.client = client
        self.recording = [item for item in recording if not item["request"]["path"].startswith(OTHER_ROUTES)]
        self.ours: dict[str, str] = {}  # by the recorded id, if LibreChat chose it
        self.reading: dict[int, asyncio.Task[Pair]] = {}

    async def run(self) -> list[Pair]:
        pairs = []
        for number, exchange in enumerate(self.recording):
            if "sse" not in exchange["response"]:
                pairs.append(await self._send(exchange))
                await self._open_stream(number)
            elif "Generation state changed" not in exchange["response"]["sse"]:
                self._read_from(number)
                pairs.append(await self.reading.pop(number))
                await asyncio.sleep(0.05)  # until the reply is stored
        return [*pairs, *[await task for task in self.reading.values()]]

    async def _send(self, exchange: Exchange) -> Pair:
        request, recorded = exchange["request"], exchange["response"]
        sent = self._translated(request.get("body"))
        answer = await self.client.http.request(
            request["method"], self._translated(request["path"]), json=sent
        )
        kind = answer.headers.get("content-type", "")
        body = answer.json() if "json" in kind else answer.text
        self._learn(recorded["body"], body)
        return Pair(request, recorded, answer.status_code, kind, body)

    async def _open_stream(self, number: int) -> None:
        request = self.recording[number]["request"]
        if request["method"] == "POST" and request["path"].startswith("/api/agents/chat/"):
            later = range(number + 1, len(self.recording))
            stream = next((item for item in later if "sse" in self.recording[item]["response"]), None)
            if stream is not None:
                self._read_from(stream)
                await asyncio.sleep(0 if stream == number + 1 and not self._is_replaced(stream) else 0.15)

    def _is_replaced(self, number: int) -> bool:
        return "Generation state changed" in self.recording[number]["response"]["sse"]

    def _read_from(self, number: int) -> None:
        if number not in self.reading:
            self.reading[number] = asyncio.create_task(self._read(self.recording[number]))

    async def _read(self, exchange: Exchange) -> Pair:
        """Leaves at the frame where the recorder left."""
        request, recorded = exchange["request"], exchange["response"]
        expected = frames(recorded["sse"])
        path, _, query = self._translated(request["path"]).partition("?")
        self.client.conversation = path.rpartition("/")[2]
        seen = await self.client.read(bool(query), None if is_last(expected[-1]) else len(expected))
        self._learn([data for _, data in expected], [data for _, data in seen])
        return Pair(request, recorded, 200, "text/event-stream", frames=seen)

    def _learn(self, recorded: Any, ours: Any) -> None:
        if isinstance(recorded, dict) and isinstance(ours, dict):
            for key in recorded.keys() & ours.keys():
                if key in CHOSEN_BY_LIBRECHAT and recorded[key] != ours[key]:
                    self.ours[recorded[key]] = ours[key]
                self._learn(recorded[key], ours[key])
        if isinstance(recorded, list) and isinstance(ours, list):
            for mine, theirs in zip(recorded, ours, strict=False):
                self._learn(mine, theirs)

    def _translated(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._translated(item) for key, item in value.items()}
        if isinstance(value, str):
            for recorded, ours in self.ours.items():
                value = value.replace(recorded, ours)
        return value
