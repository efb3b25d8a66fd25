"""An installation as `make run` starts it, with models of two scripted providers, set up over REST."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from devserver.tests.test_up import Run
from gateway.tests.served import Served
from tests.compat.providers.recorder import PROVIDER_KEY, RETRY_AFTER_SECONDS, ScriptedProviders

OWNER = {
    "email": "alice@example.com",
    "password": "correct horse battery",
    "name": "Alice",
    "tenant_name": "Acme",
    "workspace_name": "Sales",
}
START_SECONDS = 300  # while other tests or installations use the CPU
WINDOW, OUTPUT = 100_000, 8_000
ABILITIES = ["tools", "images", "reasoning"]
# slug: (provider, upstream name, fields that differ)
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt-4.1": ("openai", "gpt-4.1", {}),
    "gpt-5-pro": ("openai", "gpt-5-pro", {}),  # LangChain itself calls models of this name over Responses
    "busy": ("openai", "busy", {}),
    "busy-once": ("openai", "busy-once", {}),
    "overflow": ("openai", "overflow", {}),
    "text-only": ("openai", "text-only", {"abilities": ["tools"]}),
    "claude-sonnet-4-6": ("anthropic", "claude-sonnet-4-6", {}),
    "claude-busy": ("anthropic", "busy", {}),
    "claude-busy-once": ("anthropic", "busy-once", {}),
    "claude-overflow": ("anthropic", "overflow", {}),
    "text-embedding-3-small": ("openai", "text-embedding-3-small", {"kind": "embedding"}),
}
NOT_FOR_EMBEDDINGS = ("output_bound", "abilities")


@dataclass(frozen=True)
class Installation:
    url: str
    key: str
    spent_key: str  # its budget is used up
    providers: ScriptedProviders
    providers_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the drivers read."""
        return {
            "SWITCHYARD_URL": self.url,
            "SWITCHYARD_KEY": self.key,
            "SPENT_KEY": self.spent_key,
            "CONTROL_URL": f"{self.providers_url}/control",
        }


@contextmanager
def running_installation(folder: Path) -> Iterator[Installation]:
    providers = ScriptedProviders()
    with Served(providers) as served:
        run = Run(
            folder / "data",
            OUTBOUND_ALLOWED=served.url.removeprefix("http://"),
            PROVIDER_LONGEST_WAIT_SECONDS=str(RETRY_AFTER_SECONDS - 1),
            WORKSPACE_TOKENS_PER_MONTH="1000000000",
        )
        try:
            run.wait_until_ready(START_SECONDS)
            yield _set_up(f"http://127.0.0.1:{run.port}", providers, served.url)
        finally:
            run.clean_up()


def _set_up(url: str, providers: ScriptedProviders, providers_url: str) -> Installation:
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        signed_up = _post(client, "/v1/auth/signup", OWNER)
        client.headers["Authorization"] = f"Bearer {signed_up['access']}"
        workspace = f"/v1/workspaces/{signed_up['workspaceId']}"
        credentials = {
            kind: _post(client, f"{workspace}/credentials", _credential(kind, providers_url))["id"]
            for kind in ("openai", "anthropic")
        }
        for slug, (kind, upstream, differs) in MODELS.items():
            _install(
                client, workspace, credentials[kind], {"slug": slug, "upstream_name": upstream, **differs}
            )
        key, spent = (
            _post(client, f"{workspace}/api-keys", {"name": name, "scopes": ["chat", "read"]})
            for name in ("Clients", "Spent")
        )
        budget = {
            "level": "api_key",
            "metric": "tokens",
            "window": "month",
            "limit": 1,
            "api_key": spent["id"],
        }
        _post(client, f"{workspace}/budgets", budget)
    return Installation(url, key["key"], spent["key"], providers, providers_url)


def _credential(kind: str, providers_url: str) -> dict[str, Any]:
    base_url = f"{providers_url}/{kind}/v1"
    return {"name": kind, "kind": kind, "key": PROVIDER_KEY, "base_url": base_url, "test": False}


def _install(client: httpx.Client, workspace: str, credential: str, model: dict[str, Any]) -> None:
    """An embedding model that the installation refuses is left out, and its checks then fail."""
    usual = {"context_window": WINDOW, "output_bound": OUTPUT, "abilities": ABILITIES, "enabled": True}
    data = {**usual, **model, "credential_id": credential, "test": False}
    if data.get("kind") == "embedding":
        data = {name: value for name, value in data.items() if name not in NOT_FOR_EMBEDDINGS}
        client.post(f"{workspace}/models", json=data)
    else:
        _post(client, f"{workspace}/models", data)


def _post(client: httpx.Client, path: str, data: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=data)
    assert answer.status_code == 201, f"{path}: {answer.text}"
    made: dict[str, Any] = answer.json()
    return made
