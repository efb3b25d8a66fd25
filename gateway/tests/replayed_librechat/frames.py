"""The data of a turn's frames and messages, as recorded."""

import secrets

from gateway.tests.replayed_librechat import history
from gateway.tests.replayed_librechat.answers import Json

COST_OF_A_TOKEN = 6e-6


def step(run_id: str, index: int, number: int, details: Json) -> Json:
    """`number` counts within one model call, `index` in the whole turn."""
    return {
        "stepIndex": number,
        "id": f"step_{secrets.token_urlsafe(16)[:21]}",
        "type": details["type"],
        "index": index,
        "stepDetails": details,
        "usage": None,
        "runId": run_id,
    }


def message_step(message_id: str) -> Json:
    return {"type": "message_creation", "message_creation": {"message_id": message_id}}


def tool_step(name: str, arguments: object, call_id: str) -> Json:
    call = {"name": name, "args": arguments, "id": call_id, "type": "tool_call"}
    return {"type": "tool_calls", "tool_calls": [call]}


def delta(step_id: str, kind: str, text: str) -> Json:
    return {"id": step_id, "delta": {"content": [{"type": kind, kind: text}]}}


def arguments_delta(step_id: str, chunk: Json) -> Json:
    return {"id": step_id, "delta": {"type": "tool_calls", "tool_calls": [chunk]}}


def completed(step_id: str, call: Json) -> Json:
    done = {key: call[key] for key in ("args", "name", "id", "output", "progress")}
    return {"result": {"id": step_id, "index": 0, "type": "tool_call", "tool_call": done}}


def token_usage(run_id: str, model: str, seq: int, usage: Json, purpose: str | None = None) -> Json:
    given, written = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    total = usage.get("total_tokens", given + written)
    return {
        "input_tokens": given,
        "output_tokens": written,
        "total_tokens": total,
        "model": model,
        "provider": "openAI",
        "runId": run_id,
        "seq": seq,
        "cost": cost(given + written),
        **({"usage_type": purpose} if purpose else {}),
    }


def cost(tokens: int) -> float:
    return round(tokens * COST_OF_A_TOKEN, 9)


def context_usage(run_id: str, agent_id: str, bound: int, messages: list[Json], tools: list[Json]) -> Json:
    """The context gauge; some of its counts are estimates."""
    said = [message for message in messages if message["role"] != "system"]
    system = sum(history.count(message) for message in messages if message["role"] == "system")
    schemas = {tool["function"]["name"]: 74 for tool in tools}
    instructions = system + sum(schemas.values())
    tokens = sum(history.count(message) for message in said)
    budget = bound * 95 // 100
    return {
        "runId": run_id,
        "agentId": agent_id,
        "breakdown": {
            "maxContextTokens": bound,
            "instructionTokens": instructions,
            "systemMessageTokens": system,
            "dynamicInstructionTokens": 0,
            "toolSchemaTokens": sum(schemas.values()),
            "summaryTokens": 0,
            "toolCount": len(tools),
            "messageCount": len(said),
            "messageTokens": tokens,
            "availableForMessages": budget - instructions,
            "toolTokenCounts": schemas,
        },
        "contextBudget": budget,
        "effectiveInstructionTokens": instructions,
        "prePruneContextTokens": tokens + system,
        "remainingContextTokens": budget - instructions - tokens,
        "calibrationRatio": 1,
    }
