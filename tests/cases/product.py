"""The product in its own web process, with workspaces (lanes) that hold the models of the cases."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.db import connection

from accounts.principals import find_principal
from accounts.tests.cast import Cast, Person
from kit.secrets import seal
from kit.tenancy import tenant_scope
from quotas.models import Budget
from tests.cases.stage import Stage
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.onboarding import create_workspace_with_model

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-cases-SECRET-1"
TOKENS_PER_MONTH = 2_000_000_000  # some messages have megabytes
TOOL_SERVER = "kit"


@dataclass(frozen=True)
class Installation:
    """A model whose calls a script answers."""

    script: str
    kind: str
    abilities: tuple[str, ...]


@dataclass(frozen=True)
class Lane:
    """A workspace with the models of some cases."""

    person: Person
    token: str
    stage: Stage

    @property
    def slug(self) -> str:
        return str(self.person.principal.workspace.slug)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def base_url(self, script: str) -> str:
        return f"http://127.0.0.1:{self.stage.port}/{script}/v1"

    def install(self, wanted: Sequence[Installation]) -> None:
        """Each model has its own address, and so its own breaker and caches."""
        principal = self.person.principal
        credentials = [
            ProviderCredential(
                workspace_id=principal.workspace.id,
                name=one.script,
                kind=one.kind,
                base_url=self.base_url(one.script),
                sealed_key=seal(KEY),
            )
            for one in wanted
        ]
        models = [
            LanguageModel(
                workspace_id=principal.workspace.id,
                provider=one.kind,
                credential=credential,
                **{**model_fields(one.script), "abilities": sorted(one.abilities)},
            )
            for one, credential in zip(wanted, credentials, strict=True)
        ]
        with tenant_scope(principal.tenant):
            ProviderCredential.objects.bulk_create(credentials)
            LanguageModel.objects.bulk_create(models)

    async def install_with_parameters(
        self, client: httpx.AsyncClient, wanted: Installation, parameters: dict[str, Any]
    ) -> httpx.Response:
        """Installs over the API, which may refuse the parameters."""
        path, model = f"/v1/workspaces/{self.slug}", model_fields(wanted.script)
        credential = {"name": wanted.script, "kind": wanted.kind, "key": KEY, "test": False}
        created = await client.post(
            f"{path}/credentials",
            json={**credential, "base_url": self.base_url(wanted.script)},
            headers=self.headers,
        )
        created.raise_for_status()
        return await client.post(
            f"{path}/models",
            json={
                **model,
                "credential_id": created.json()["id"],
                "parameters": parameters,
                "test": False,
            },
            headers=self.headers,
        )

    async def install_tools(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(
            f"/v1/workspaces/{self.slug}/mcps",
            json={"slug": TOOL_SERVER, "url": f"http://127.0.0.1:{self.stage.port}/tools/mcp"},
            headers=self.headers,
        )
        assert answer.is_success, answer.text


def model_slug(script: str) -> str:
    return f"m-{script}"


def model_fields(script: str) -> dict[str, Any]:
    return {
        "slug": model_slug(script),
        "name": model_slug(script),
        "upstream_name": "upstream-1",
        "context_window": 1_000_000,
        "output_bound": 8192,
        "abilities": ("tools", "images"),
        "enabled": True,
    }


def create_lanes(cast: Cast, stage: Stage, count: int) -> list[Lane]:
    Budget.objects.filter(level=Budget.Level.WORKSPACE).update(limit=TOKENS_PER_MONTH)
    people = [_open_workspace(cast, f"lane-{number}") for number in range(count)]
    return [Lane(person, person.token, stage) for person in people]


def _open_workspace(cast: Cast, slug: str) -> Person:
    user = cast.alice.user
    tenant = user.memberships.get().tenant
    create_workspace_with_model(tenant=tenant, name=slug, manager=user, slug=slug)
    principal = find_principal(user_id=user.id, tenant_slug=tenant.slug, workspace_slug=slug)
    assert principal is not None
    return Person(principal)


@contextmanager
def served_product(stage: Stage) -> Iterator[str]:
    """Serves Switchyard on the test's database in another process, and yields its base URL."""
    database = connection.settings_dict
    read, write = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.tests.serve_process", str(write)],
            cwd=ROOT,
            pass_fds=[write],
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
                "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
                "LOCAL_MODEL_URL": f"http://127.0.0.1:{stage.port}",
                "OUTBOUND_ALLOWED": f"127.0.0.1:{stage.port}",
                "REQUESTS_PER_MINUTE": "1000000",
                "DATA_DIR": folder,
            },
        )
        os.close(write)
        try:
            with os.fdopen(read) as received:
                port = received.readline().strip()
            assert port, "the server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
