"""The arguments of a tool call: parsed, hashed, and checked against the workspace's rule for the tool."""

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kit.json_input import is_shallow, is_storable
from workspaces.mcp_servers.argument_rules import unfit_arguments

LONGEST_ARGUMENTS = 200_000  # characters of JSON
LARGEST_FLOAT = 10**300  # larger numbers are Infinity in JavaScript
_RULE_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rules")


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """A rule (JSON Schema) that a call's arguments still have to be checked against."""

    rule: dict[str, Any]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The outcome of a check; `refusal` is the text for the model, empty if the arguments are allowed."""

    rule: dict[str, Any]
    refusal: str


async def check_rule(check: RuleCheck) -> RuleResult:
    """Evaluates the rule in separate threads, so that a slow rule delays no database work."""
    loop = asyncio.get_running_loop()
    unfit = await loop.run_in_executor(_RULE_THREADS, unfit_arguments, check.rule, check.arguments)
    refusal = f"This workspace does not allow these arguments: {unfit}" if unfit else ""
    return RuleResult(check.rule, refusal)


def parsed_arguments(text: str) -> dict[str, Any] | None:
    """None if the text is not a JSON object that can be stored."""
    if len(text) > LONGEST_ARGUMENTS:
        return None
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and is_shallow(value) and is_storable(value) else None


def hash_of(arguments: dict[str, Any] | None) -> str:
    """Equal for equal arguments in any order, with numbers as JavaScript reads them.

    An engine in JavaScript has no integers: 2.0 comes back as 2, and beyond 2**53 digits are lost.
    """
    return hashlib.sha256(json.dumps(_as_javascript(arguments), sort_keys=True).encode()).hexdigest()


def _as_javascript(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_javascript(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_javascript(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < LARGEST_FLOAT else str(value)
    return value
