"""A provider for tests that sends given bytes, in OpenAI's or Anthropic's wire format."""

import json
from typing import Any

from accounts.tests.cast import Person
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential, install_model


class RawProvider:
    """An ASGI application; each request gets the next of `replies`, the last one repeatedly."""

    def __init__(self) -> None:
        self.replies: list[list[bytes]] = [[]]
        self.requests: list[dict[str, Any]] = []

    def answers(self, *replies: list[bytes]) -> None:
        self.replies, self.requests = list(replies), []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.requests.append(json.loads(body or b"{}"))
        pieces = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def install_raw(person: Person, url: str, *, kind: str, slug: str) -> None:
    """A model of that kind at the provider's address."""
    with tenant_scope(person.principal.tenant):
        credential = add_credential(
            workspace_id=person.principal.workspace.id,
            name=slug,
            kind=kind,
            key="sk-raw",
            base_url=f"{url}/v1",
        )
        install_model(
            credential=credential,
            slug=slug,
            upstream_name=f"{slug}-1",
            context_window=400_000,
            output_bound=2_000,
            abilities=["tools", "images"],
            enabled=True,
        )
