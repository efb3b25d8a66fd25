"""The cases in data/*.json, and the surfaces on which each is played."""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.cases.comparison import compact

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
        """The keys of an expectation that apply only to this surface, the most specific last."""
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
    turn: int | None = None  # picks one of the surfaces that take turns; None: plays all of them

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
        """The longest pause in the script, in seconds."""
        waits = re.findall(r'"(?:sleep_s|head_delay_s)":([\d.]+)', compact(self.data))
        return max(map(float, waits), default=0.0)

    def expectation(self, surface: Surface) -> dict[str, Any] | None:
        """The expectation on this surface; None if the case does not concern it."""
        expect = self.data["expect"]
        found = {key: value for key, value in expect.items() if key not in OVERRIDES}
        for key in surface.overrides:
            override = expect.get(key, {})
            if override is None:
                return None
            found |= override
        return found

    def _in_turn(self, concerned: list[Surface]) -> list[Surface]:
        """The two basic surfaces, the one of a replay if the case has one, and one of the others."""
        always = {Surface.CHAT_STREAMED, Surface.NATIVE}
        if "replay" in self.data["expect"].get("whole", {}):
            always.add(Surface.CHAT_WHOLE)
        others = [surface for surface in concerned if surface not in always]
        one = others[(self.turn or 0) % len(others)] if others else None
        return [surface for surface in concerned if surface in always or surface is one]

    @property
    def surfaces(self) -> list[Surface]:
        if self.what == "stream":
            concerned = [surface for surface in Surface if self.expectation(surface) is not None]
            return concerned if self.turn is None else self._in_turn(concerned)
        by_route = {
            "send": [Surface.NATIVE],
            "responses": [Surface.RESPONSES_WHOLE],
            "messages": [Surface.MESSAGES_WHOLE],
        }
        if on := self.data.get("on"):
            return by_route[on]
        return [Surface(letter) for letter in self.data.get("surfaces", ["W"])]


def all_cases(*, on_every_surface: bool = False) -> list[Case]:
    """To save time, the cases of `more_….json` take turns on some surfaces unless `on_every_surface`."""
    overrides = json.loads((DATA / "protocol_expectations.json").read_text())
    return [
        Case(
            what,
            {**data, "expect": {**data["expect"], **overrides.get(data["name"], {})}},
            number if file.startswith("more_") and not on_every_surface else None,
        )
        for what, files in (("stream", STREAMS), ("request", REQUESTS))
        for file in files
        for number, data in enumerate(json.loads((DATA / file).read_text()))
    ]


def standard_reply(api: str) -> list[Any]:
    """The chunks of a plain streamed reply: of the API `openai` or `anthropic`."""
    replies: dict[str, list[Any]] = json.loads((DATA / "standard_replies.json").read_text())
    return replies[api]
