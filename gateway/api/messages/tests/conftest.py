"""Anthropic's own package as the client, and scripted providers behind the models."""

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest

from accounts.tests.cast import Cast
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.tests.served import Served
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential, install_model


@pytest.fixture
def alice(server: Served, cast: Cast) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=cast.alice.token, max_retries=0) as client:
        yield client


@pytest.fixture
def behind(server: Served, cast: Cast, settings: Any) -> Iterator[Callable[..., ScriptedServer]]:
    """`behind(kind, *answers)`: installs the model `kind` at a scripted provider of this kind."""
    upstreams: list[ScriptedServer] = []

    def install(kind: str, *answers: Answer, **fields: Any) -> ScriptedServer:
        upstream = ScriptedServer()
        server.run(upstream.__aenter__())
        upstreams.append(upstream)
        upstream.answers = list(answers)
        allowed = f"127.0.0.1:{upstream.port}"
        settings.OUTBOUND_ALLOWED = [*settings.OUTBOUND_ALLOWED, allowed]
        abilities = ["tools", "images"]
        bounds = {"context_window": 200_000, "output_bound": 4000, "enabled": True, "abilities": abilities}
        with tenant_scope(cast.alice.principal.tenant):
            credential = add_credential(
                workspace_id=cast.alice.principal.workspace.id,
                name=kind,
                kind=kind,
                key="sk-scripted",
                base_url=upstream.url,
            )
            install_model(credential=credential, slug=kind, upstream_name=f"{kind}-1", **{**bounds, **fields})
        return upstream

    yield install
    for upstream in upstreams:
        server.run(upstream.__aexit__())
