"""The cases: read from data/*.json, with the surfaces on which each is played."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.cases.matching import compact

DATA = Path(__file__).parent / "data"
STREAMS = ("provider_streams.json", "more_streams.json")
REQUESTS = ("request_parameters.json", "more_requests.json")


class Surface(StrEnum):
    """An endpoint, and whether its answer is streamed (S) or whole (W)."""

    CHAT_STREAMED = "S"
    CHAT_WHOLE = "W"
    NATIVE = "N"
    RESPONSES_STREAMED = "RS"
    RESPONSES_WHOLE = "RW"
    MESSAGES_STREAMED = "MS"
    MESSAGES_WHOLE = "MW"

    @property
    def is_native(self) -> bool:
        return self is Surface.NATIVE

    @property
    def is_whole(self) -> bool:
        return self.value.endswith("W")

    @property
    def protocol(self) -> str:
        """`chat`, `native`, `responses` or `messages`."""
        return {"N": "native", "R": "responses", "M": "messages"}.get(self.value[0], "chat")

    @property
    def overrides(self) -> tuple[str, ...]:
        """The keys of an expectation that apply to this surface only, the most specific last."""
        if self.is_native:
            return ("native",)
        form = "whole" if self.is_whole else "streamed"
        return (form,) if self.protocol == "chat" else (form, self.protocol)


OVERRIDES = ("streamed", "whole", "native", "responses", "messages")


@dataclass(frozen=True)
class Case:
    """`what` is `stream` or `request`; `data` is the case as written."""

    what: str
    data: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def kind(self) -> str:
        return str(self.data["kind"])

    @property
    def is_anthropic(self) -> bool:
        return bool(self.data["api"] == "anthropic")

    @property
    def longest_wait(self) -> float:
        """The longest pause in seconds that the script makes."""
        waits = re.findall(r'"(?:sleep_s|head_delay_s)":([\d.]+)', compact(self.data))
        return max(map(float, waits), default=0.0)

    def expectation(self, surface: Surface) -> dict[str, Any] | None:
        """What is expected on this surface; None if the case does not concern it."""
        expect = self.data["expect"]
        found = {key: value for key, value in expect.items() if key not in OVERRIDES}
        for key in surface.overrides:
            own = expect.get(key, {})
            if own is None:
                return None
            found |= own
        return found

    @property
    def surfaces(self) -> list[Surface]:
        if self.what == "stream":
            return [surface for surface in Surface if self.expectation(surface) is not None]
        by_route = {
            "send": [Surface.NATIVE],
            "responses": [Surface.RESPONSES_WHOLE],
            "messages": [Surface.MESSAGES_WHOLE],
        }
        if on := self.data.get("on"):
            return by_route[on]
        return [Surface(letter) for letter in self.data.get("surfaces", ["W"])]


def all_cases() -> list[Case]:
    own = json.loads((DATA / "protocol_expectations.json").read_text())
    return [*_read("stream", STREAMS, own), *_read("request", REQUESTS, own)]


def _read(what: str, files: tuple[str, ...], own: dict[str, Any]) -> Iterator[Case]:
    for file in files:
        for data in json.loads((DATA / file).read_text()):
            yield Case(what, {**data, "expect": {**data["expect"], **own.get(data["name"], {})}})


def standard_reply(api: str) -> list[Any]:
    """A plain streamed reply of a provider."""
    replies: dict[str, list[Any]] = json.loads((DATA / "standard_replies.json").read_text())
    return replies[api]
