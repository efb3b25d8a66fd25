"""Counts a request's prompt without running it: nothing is reserved or charged."""

from dataclasses import dataclass

from accounts.principals import Principal
from gateway.calls.bounds import bound_call, with_defaults
from gateway.calls.prompt_estimate import estimate_prompt
from gateway.errors import ProviderError
from gateway.providers.base import ModelRequest, Provider, has_images
from gateway.providers.refusals import INVALID
from gateway.providers.registry import provider_for
from gateway.turns.completion import read_choices, request_of
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.decision import decide
from gateway.turns.workspace_tools import narrowed
from kit.tenancy import in_tenant


@dataclass(frozen=True, slots=True)
class PromptCount:
    """In tokens; exact if the model's tokenizer or its provider counted."""

    tokens: int
    is_exact: bool


async def count_prompt(principal: Principal, completion: CompletionRequest) -> PromptCount:
    """Raises the refusal that the call itself would get for its model, and the provider's for its content."""
    installed, servers = await in_tenant(
        principal.tenant, read_choices, principal=principal, chosen=completion.servers
    )
    decision = decide(
        principal=principal,
        model_slug=completion.model,
        installed=installed,
        servers=servers,
        has_images=has_images(completion.messages),
    )
    model = decision.admitted_model()
    request = request_of(model, completion, narrowed(servers.enabled, completion.servers))
    provider = provider_for(model)
    counted = await _counted(provider, with_defaults(request, model))
    if counted is not None:
        return PromptCount(counted, is_exact=True)
    bounds, _ = await estimate_prompt(
        provider, with_defaults(request, model), model, await bound_call(provider, request, model)
    )
    return PromptCount(bounds.estimated_prompt, is_exact=False)


async def _counted(provider: Provider, request: ModelRequest) -> int | None:
    """None if the provider does not count, or fails: an estimate is better than nothing."""
    try:
        return await provider.count_request(request)
    except ProviderError as error:
        if error.details["provider_status"] in INVALID:
            raise
        return None
