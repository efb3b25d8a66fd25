"""What is held for a call is bounded by the request as the model is sent it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from gateway.egress.bounds import bound_call, with_defaults
from gateway.providers.base import ModelRequest
from gateway.providers.registry import provider_for
from workspaces.language_models.services import Endpoint, ModelRef

HELLO = [{"role": "user", "content": "Hello"}]


def model_of(output_bound: int) -> ModelRef:
    return ModelRef(
        id=uuid4(),
        slug="gpt",
        name="GPT",
        provider="openai",
        upstream_name="gpt",
        context_window=8000,
        output_bound=output_bound,
        enabled=True,
        created_at=datetime.now(UTC),
        endpoint=Endpoint(uuid4(), "https://models.example.com/v1", ""),
    )


@pytest.mark.parametrize(("asked_for", "held"), [(10, 10), (100, 100), (101, 100), (10**9, 100)])
async def test_the_output_that_is_held_is_what_the_model_is_asked_for(asked_for: int, held: int) -> None:
    model = model_of(100)
    request = ModelRequest(model="gpt", messages=HELLO, max_tokens=asked_for)
    bounds = await bound_call(provider_for(model), request, model)
    assert bounds.output == with_defaults(request, model).max_tokens == held
