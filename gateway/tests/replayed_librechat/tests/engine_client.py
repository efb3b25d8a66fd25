"""A client of the engine for these tests, as the gateway will be one."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import httpx

from gateway.tests.replayed_librechat.identity import NO_PARENT
from gateway.tests.replayed_librechat.recorded import Frame, frames

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PASSWORD = "s3cret-pass-1"


class EngineClient:
    """One account's calls; its conversation goes on from turn to turn."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, headers={"User-Agent": BROWSER}, timeout=10, verify=False)
        self.user: dict[str, Any] = {}
        self.conversation = str(uuid.uuid4())
        self.parent = NO_PARENT

    async def sign_in(self, name: str = "Alice") -> "EngineClient":
        email = f"{name.lower()}@acme.example"
        entry = {"name": name, "email": email, "password": PASSWORD, "confirm_password": PASSWORD}
        await self.http.post("/api/auth/register", json=entry)
        answer = await self.http.post("/api/auth/login", json={"email": email, "password": PASSWORD})
        self.use(answer.json()["token"])
        self.user = answer.json()["user"]
        return self

    def use(self, token: str) -> None:
        self.http.headers["Authorization"] = f"Bearer {token}"

    def body(self, text: str, **more: Any) -> dict[str, Any]:
        return {
            "text": text,
            "endpoint": "Routed",
            "endpointType": "custom",
            "model": "routed",
            "conversationId": self.conversation,
            "parentMessageId": self.parent,
            "responseMessageId": str(uuid.uuid4()),
            "overrideUserMessageId": f"{uuid.uuid4()}__0",
            "clientRequestId": str(uuid.uuid4()),
            "isTemporary": False,
            **more,
        }

    async def start(self, text: str, **more: Any) -> dict[str, Any]:
        body = self.body(text, **more)
        answer = await self.http.post(f"/api/agents/chat/{body['endpoint']}", json=body)
        started: dict[str, Any] = answer.json()
        return started

    async def follow(self, resume: bool = False) -> AsyncGenerator[Frame, None]:
        query = "?resume=true" if resume else ""
        url = f"/api/agents/chat/stream/{self.conversation}{query}"
        async with self.http.stream("GET", url) as answer:
            assert answer.status_code == 200, await answer.aread()
            rest = ""
            async for piece in answer.aiter_text():
                whole, found, rest = (rest + piece).rpartition("\n\n")
                for frame in frames(whole + found):
                    yield frame

    async def read(self, resume: bool = False, count: int | None = None) -> list[Frame]:
        """The stream's frames; with a count, leaves after so many."""
        seen: list[Frame] = []
        async with aclosing(self.follow(resume)) as following:
            async for frame in following:
                seen.append(frame)
                if len(seen) == count:
                    break
        return seen

    async def turn(self, text: str, **more: Any) -> list[Frame]:
        """A whole turn; the next one follows its reply."""
        await self.start(text, **more)
        seen = await self.read()
        self.parent = final(seen)["responseMessage"]["messageId"]
        return seen

    async def messages(self) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/messages/{self.conversation}")
        found: list[dict[str, Any]] = answer.json()
        return found

    async def abort(self, **more: Any) -> httpx.Response:
        target = {"streamId": self.conversation, "conversationId": self.conversation}
        return await self.http.post("/api/agents/chat/abort", json=target | more)


def final(seen: list[Frame]) -> dict[str, Any]:
    event, data = seen[-1]
    assert event == "message"
    assert data["final"] is True
    return data


def content(seen: list[Frame]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = final(seen)["responseMessage"]["content"]
    return found


def data_of(seen: list[Frame], name: str) -> list[dict[str, Any]]:
    return [data["data"] for _, data in seen if data.get("event") == name]


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for the server's thread without holding up this loop."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)
