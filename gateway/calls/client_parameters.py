"""Decides which parameters of a client's request go to the provider: all except our own.

The gateway sets the parameters that bound a call's cost, so clients cannot pass them under other names. The
provider judges, and may refuse, everything else.
"""

from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject
from gateway.providers.sizes import encoded
from kit.errors import InvalidInput

OWN = {
    "model",
    "messages",
    "tools",
    "n",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
}
OTHER_BOUND = "Send max_tokens instead."
ONE_ANSWER = "Only one answer is generated."
ONE_MODEL = "The gateway chooses the provider's model and address. Send model, and set its fallback here."
OLD_TOOLS = "Send tools and tool_choice instead."
REFUSED = {
    **dict.fromkeys(
        ("max_output_tokens", "max_new_tokens", "max_gen_len", "max_length", "n_predict", "num_predict"),
        OTHER_BOUND,
    ),
    **dict.fromkeys(("best_of", "candidate_count", "num_return_sequences", "use_beam_search"), ONE_ANSWER),
    **dict.fromkeys(
        ("models", "route", "fallbacks", "api_key", "api_base", "base_url", "extra_body", "extra_headers"),
        ONE_MODEL,
    ),
    **dict.fromkeys(("functions", "function_call"), OLD_TOOLS),
    "mcp_servers": 'Servers are installed in the workspace. Send {"type": "mcp", "server_label"} in tools.',
}
MOST_PARAMETERS = 64
LARGEST = 128 * 1024  # bytes of JSON of one parameter
LARGEST_PREDICTION = 2 * 1024 * 1024  # a whole file that the reply probably repeats
Problems = dict[str, list[str]]


def passed_through(body: JsonObject) -> JsonObject:
    """The parameters that go to the provider unchanged.

    UnsupportedParameter names one of ours sent under another name, InvalidInput one that is too large.
    """
    others = {name: value for name, value in body.items() if name not in OWN and value is not None}
    if refused := next((name for name in others if name in REFUSED), None):
        raise UnsupportedParameter(refused, REFUSED[refused])
    if len(others) > MOST_PARAMETERS:
        raise InvalidInput(body=[f"Too many parameters: {len(others)}. Send at most {MOST_PARAMETERS}."])
    if problems := {name: problem for name, value in others.items() if (problem := _problem(name, value))}:
        raise InvalidInput(**problems)
    return others


def _problem(name: str, value: Any) -> list[str]:
    size, most = len(encoded({name: value})), LARGEST_PREDICTION if name == "prediction" else LARGEST
    return [f"Too large: {size:,} bytes of JSON. Send at most {most:,}."] if size > most else []
