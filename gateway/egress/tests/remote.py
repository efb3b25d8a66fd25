"""A workspace's own provider: scripted, at an address that the operator allows."""

from typing import Any

from accounts.tests.cast import Person
from gateway.tests.scripted_provider import ScriptedProvider, Send
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential, install_model
from workspaces.language_models.models import ProviderCredential

KEY = "sk-of-the-workspace"
UNREACHABLE = "http://127.0.0.1:1"  # where no server answers


class RemoteProvider(ScriptedProvider):
    """Records request headers; `lines`, if set, are its whole response."""

    url = ""

    def reset(self) -> None:
        super().reset()
        self.headers: list[dict[str, str]] = []
        self.lines: list[bytes] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] == "http":
            self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await super().__call__(scope, receive, send)

    async def _stream(self, script: Any, body: dict[str, Any], send: Send) -> None:
        if not self.lines:
            return await super()._stream(script, body, send)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"".join(self.lines)})
        return None


def install(person: Person, url: str, *, slug: str = "gpt", **more: Any) -> ProviderCredential:
    """An OpenAI-compatible model in the person's workspace, with the workspace's key."""
    fields = {"upstream_name": "gpt-4o", "context_window": 8000, "output_bound": 100, "enabled": True}
    with tenant_scope(person.principal.tenant):
        credential = add_credential(
            workspace_id=person.principal.workspace.id,
            name=f"Of {slug}",
            kind="compatible",
            key=KEY,
            base_url=f"{url}/v1",
        )
        install_model(credential=credential, slug=slug, **{**fields, **more})
    return credential
