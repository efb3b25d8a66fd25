"""Plays one case on one surface, and lists the faults."""

import copy
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.cases.chat_completions import read_chat
from tests.cases.chat_send import read_native
from tests.cases.collection import Case, Surface, standard_reply
from tests.cases.http_answers import Answer, talk
from tests.cases.judgement import faults_in, faults_in_request, faults_in_second
from tests.cases.messages import read_messages
from tests.cases.observation import Observed
from tests.cases.product import TOOL_SERVER, Installation, Lane, model_slug
from tests.cases.responses import read_responses
from tests.cases.stage import Play
from tests.cases.tool_server import RESULTS, TOOLS

QUESTION = "Hello there, please answer."
PARTS = ("status", "headers", "chunks", "second_round", "replies", "framing", "split", "head_delay_s")
MAX_SECONDS = 20
READERS: dict[str, Callable[[Answer], Observed]] = {
    "chat": read_chat,
    "native": read_native,
    "responses": read_responses,
    "messages": read_messages,
}
PATHS = {
    "chat": "/v1/chat/completions",
    "native": "/v1/chat/send",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
Ask = Callable[[dict[str, Any], float], Awaitable[Answer]]


@dataclass
class Run:
    """A case on a surface, with its own model, whose calls are answered at the address `script`."""

    case: Case
    surface: Surface
    lane: Lane
    script: str
    play: Play
    faults: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def model(self) -> str:
        return model_slug(self.script)

    @property
    def is_plain(self) -> bool:
        """Whether its model can be created in the database: only the API checks and sets parameters."""
        return "model_parameters" not in self.case.data

    @property
    def needs_tools(self) -> bool:
        return self.surface.is_native and bool(self.case.data.get("tools"))

    @property
    def installation(self) -> Installation:
        kind = self.case.data.get("provider") or ("anthropic" if self.case.is_anthropic else "compatible")
        return Installation(
            self.script, str(kind), tuple(self.case.data.get("abilities", ("tools", "images")))
        )

    async def perform(self, client: httpx.AsyncClient) -> None:
        judge = self._stream if self.case.what == "stream" else self._request
        self.faults = await judge(client)

    async def _ask(self, client: httpx.AsyncClient, body: dict[str, Any], limit: float) -> Observed:
        is_whole, protocol = self.surface.is_whole, self.surface.protocol
        headers = {
            **self.lane.headers,
            "Accept": "application/json" if is_whole else "text/event-stream",
            **self.case.data.get("request_headers", {}),
        }
        if protocol == "messages":
            headers["anthropic-version"] = "2023-06-01"
        answer = await talk(client, PATHS[protocol], body, limit=limit, headers=headers)
        self.answers.append(answer)
        return READERS[protocol](answer)

    async def _stream(self, client: httpx.AsyncClient) -> list[str]:
        expect = {"max_seconds": MAX_SECONDS, **(self.case.expectation(self.surface) or {})}
        own = self.case.data.get("request", {}) if self.surface.protocol == "chat" else {}
        if (price := self.case.data.get("price")) and self.surface.is_native:
            path = f"/v1/workspaces/{self.lane.slug}/models/{self.model}/prices"
            (await client.post(path, json=price, headers=self.lane.headers)).raise_for_status()
        body = {**self._body(has_tools=bool(self.case.data.get("tools"))), **expect.get("request", own)}
        limit = expect["max_seconds"] + 2
        seen = await self._ask(client, body, limit)
        received, is_anthropic = self.play.received, self.case.is_anthropic
        faults = faults_in(expect, seen, self.surface, received, is_anthropic=is_anthropic)
        if expect.get("replay") and self.surface.is_whole and seen.calls and not seen.error:
            # The client sends the answer back unchanged, with the tools' results.
            again = await self._ask(client, _with_results(self.surface, body, seen), limit)
            found = (
                [f"error {again.error.status} {again.error.message[:80]}"]
                if again.error
                else faults_in_second(received, expect["replay"], is_anthropic=is_anthropic)
            )
            faults += [f"given back: {fault}" for fault in found]
        return faults

    def _body(self, *, has_tools: bool) -> dict[str, Any]:
        message = {"role": "user", "content": QUESTION}
        tools: dict[str, Any] = {"tools": _tools(self.surface.protocol)} if has_tools else {}
        if has_tools and self.surface.protocol == "responses":
            tools["include"] = ["reasoning.encrypted_content"]  # as clients that store nothing do
        stream = {"stream": not self.surface.is_whole}
        match self.surface.protocol:
            case "native":
                mcps = [TOOL_SERVER] if has_tools else []
                return {"model": self.model, "message": QUESTION, "mcps": mcps}
            case "responses":
                return {"model": self.model, "input": [message], "store": False, **stream, **tools}
            case "messages":
                return {"model": self.model, "messages": [message], "max_tokens": 8192, **stream, **tools}
        options = {"stream_options": {"include_usage": True}} if self.surface is Surface.CHAT_STREAMED else {}
        return {"model": self.model, "messages": [message], **stream, **options, **tools}

    async def _request(self, client: httpx.AsyncClient) -> list[str]:
        data, expect = self.case.data, self.case.data["expect"]
        if parameters := data.get("model_parameters"):
            answer = await self.lane.install_with_parameters(client, self.installation, parameters)
            if answer.status_code in (400, 422) and expect.get("install_refused"):
                return []
            answer.raise_for_status()
        seen = await self._ask(client, self._requested(), 30)
        return faults_in_request(expect, seen, self.surface, self.play.received)

    def _requested(self) -> dict[str, Any]:
        data = self.case.data
        body = {**self._body(has_tools=False), **copy.deepcopy(data["request"])}
        if "pad" in data:
            text, times = data["pad"]
            body["messages"] = [{"role": "user", "content": text * times}]
        if "inflate" in data:
            text, times = data["inflate"]
            body = json.loads(json.dumps(body).replace(text, text * times))
        return body


def script_of(case: Case) -> dict[str, Any]:
    """The part of a case that the provider plays."""
    if case.what == "request":
        return {"chunks": case.data.get("reply") or standard_reply(case.data["api"])}
    return {part: case.data[part] for part in PARTS if part in case.data}


def _tools(protocol: str) -> list[dict[str, Any]]:
    match protocol:
        case "responses":
            return [
                {"type": "function", "name": name, "description": text, "parameters": schema}
                for name, (text, schema) in TOOLS.items()
            ]
        case "messages":
            return [
                {"name": name, "description": text, "input_schema": schema}
                for name, (text, schema) in TOOLS.items()
            ]
    return [
        {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}
        for name, (text, schema) in TOOLS.items()
    ]


def _with_results(surface: Surface, body: dict[str, Any], seen: Observed) -> dict[str, Any]:
    answer, results = seen.parsed[0], [(call.id, RESULTS["get_weather"]) for call in seen.calls]
    match surface.protocol:
        case "responses":
            outputs = [
                {"type": "function_call_output", "call_id": call, "output": text} for call, text in results
            ]
            return {**body, "input": [*body["input"], *answer["output"], *outputs]}
        case "messages":
            blocks = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in results]
            reply = {"role": "assistant", "content": answer["content"]}
            return {**body, "messages": [*body["messages"], reply, {"role": "user", "content": blocks}]}
    messages = [{"role": "tool", "tool_call_id": call, "content": text} for call, text in results]
    return {**body, "messages": [*body["messages"], answer["choices"][0]["message"], *messages]}
