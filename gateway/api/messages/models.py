"""`GET /v1/models` as Anthropic's clients expect it: those that send the header `anthropic-version`.

Protocol: https://docs.anthropic.com/en/api/models-list
"""

from datetime import UTC
from typing import Any

from rest_framework.request import Request

from gateway.api.messages.inputs import wrong
from gateway.providers.base import JsonObject
from workspaces.language_models.queries import ModelRef

VERSION_HEADER = "anthropic-version"
DEFAULT_LIMIT, MOST = 20, 1000


def speaks_anthropic(request: Request) -> bool:
    return VERSION_HEADER in request.headers


def model_info(model: ModelRef) -> JsonObject:
    return {
        "type": "model",
        "id": model.slug,
        "display_name": model.name,
        "created_at": model.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        "max_tokens": model.output_bound,
    }


def models_page(models: list[ModelRef], query: Any) -> JsonObject:
    """A page of `limit` models after `after_id`, or of those before `before_id`. InvalidInput by field."""
    page, has_more = _page(models, query, _limit(query.get("limit")))
    ids = [model.slug for model in page]
    return {
        "data": [model_info(model) for model in page],
        "has_more": has_more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _page(models: list[ModelRef], query: Any, limit: int) -> tuple[list[ModelRef], bool]:
    if "before_id" in query:
        if "after_id" in query:
            wrong("before_id", "Send after_id or before_id, not both.")
        end = _position(models, query["before_id"], "before_id")
        return models[max(end - limit, 0) : end], end > limit
    start = _position(models, query["after_id"], "after_id") + 1 if "after_id" in query else 0
    return models[start : start + limit], len(models) > start + limit


def _position(models: list[ModelRef], slug: str, name: str) -> int:
    found = next((at for at, model in enumerate(models) if model.slug == slug), None)
    return wrong(name, "There is no such model in the list.") if found is None else found


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST):
        wrong("limit", f"Send a number from 1 to {MOST:,}.")
    return int(text)
