"""The event table of the API's description lists exactly the events that clients can get."""

import re

from config.openapi_turns import EVENTS
from gateway.providers.base import ToolCallDelta
from gateway.turns.event_json import NAMES

ROW = re.compile(r"^\| (`.+?`) \|", re.MULTILINE)
OWN_OF_STREAMS = {"moved"}  # not an event of the turn
COMPLETIONS_ONLY = {NAMES[ToolCallDelta]}  # sent in OpenAI's own format


def test_the_event_table_matches_the_code() -> None:
    documented = {name for row in ROW.findall(EVENTS) for name in re.findall(r"`(\w+)`", row)}
    assert documented == set(NAMES.values()) - COMPLETIONS_ONLY | OWN_OF_STREAMS
