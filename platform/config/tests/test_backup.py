"""A backup of a running installation, restored elsewhere: everything works with the same keys; without them,
what docs/backup.md says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from config.tests.turns_under_fire import MODEL, Ledger, RunUnderFire, expect_nothing_reserved, half_way
from devserver import embedded_postgres
from devserver.tests.test_up import ROOT
from gateway.tests.pictures import picture
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served

pytestmark = pytest.mark.slow
SECRET, OTHER_SECRET = "the secret key of the first machine", "the secret key of another machine"
ENCRYPTION = "the encryption key of both machines"
EMAIL, PASSWORD = "erin@example.com", "correct horse battery"
PROVIDER_KEY = "sk-scripted"


class KeyedRun(RunUnderFire):
    """A run with its own keys, and without the built-in model."""

    keys: dict[str, str] = {}  # set before the start, as these are
    local_model_url = ""

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"LOCAL_MODEL_URL": self.local_model_url} | self.keys

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self._environment(),
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout


@dataclass(frozen=True)
class Original:
    """The state at the time of the backup."""

    file: Path
    headers: dict[str, str]
    api_key: str
    conversation: str
    messages: list[dict[str, Any]]
    image: str
    image_bytes: bytes
    picture: bytes
    charges: dict[str, int]
    running_turn: str


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider()
    provider.key = PROVIDER_KEY
    with Served(provider) as server, Served(ScriptedProvider()) as local:
        RunUnderFire.provider_url, KeyedRun.local_model_url = server.url, local.url
        yield provider


@contextmanager
def started(data: Path, **keys: str) -> Iterator[tuple[KeyedRun, httpx.Client]]:
    KeyedRun.keys = keys
    run = KeyedRun(data)
    try:
        run.wait_until_ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{run.port}", timeout=60, trust_env=False) as client:
            yield run, client
    finally:
        run.clean_up()


@pytest.fixture(scope="module")
def original(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Original:
    here = tmp_path_factory.mktemp("original")
    with started(here / "data", SECRET_KEY=SECRET, ENCRYPTION_KEYS=ENCRYPTION) as (run, client):
        account = {"email": EMAIL, "password": PASSWORD, "name": "Erin"}
        answer = client.post(
            "/v1/auth/signup", json=account | {"tenant_name": "Initech", "workspace_name": "Sales"}
        )
        client.headers["authorization"] = f"Bearer {answer.json()['access']}"
        run.headers = {"Authorization": client.headers["authorization"]}
        run.install_scripted_model(abilities=("tools", "images"))
        image = client.post("/v1/images", content=picture()).json()["id"]
        reply = ask(client, images=[image]).json()
        key = client.post("/v1/workspaces/sales/api-keys", json={"name": "mine", "scopes": ["chat", "read"]})
        set_picture(client)
        charges = Ledger(run).charges()
        (running,), _, gate = half_way(run, provider, 1)
        found = Original(
            file=here / "switchyard.dump",
            headers=run.headers,
            api_key=key.json()["key"],
            conversation=reply["conversation_id"],
            messages=messages_in(client, reply["conversation_id"]),
            image=image,
            image_bytes=client.get(f"/v1/images/{image}").content,
            picture=stored_picture(run),
            charges=charges,
            running_turn=running.turn_id,
        )
        make("backup", here / "data", found.file)  # while it runs
        gate.set()
        running.wait_for_end(60)
        provider.script = Script()
        ask(client, conversation_id=found.conversation)  # later messages are not in the backup
    assert any(found.charges.values())
    return found


def make(what: str, data: Path, file: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    for unwanted in ("DATABASE_URL", "POSTGRES_DIR"):
        environment.pop(unwanted, None)
    command = ["make", what, f"FILE={file}"]
    subprocess.run(command, cwd=ROOT, env=environment | {"DATA_DIR": str(data)}, check=True, timeout=300)


def ask(client: httpx.Client, **fields: Any) -> httpx.Response:
    body = {"message": "Say hello.", "model": MODEL, "mcps": [], "max_tokens": 50, **fields}
    return client.post("/v1/chat/send", json=body)


def messages_in(client: httpx.Client, conversation: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = client.get(f"/v1/conversations/{conversation}/messages").json()["data"]
    return data


def set_picture(client: httpx.Client) -> None:
    with httpx.Client(
        base_url=client.base_url, timeout=60, trust_env=False, follow_redirects=True
    ) as browser:
        sign_in = {"login": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token_on(browser, "login")}
        assert browser.post("/accounts/login/", data=sign_in).is_success
        profile = {"name": "Erin", "csrfmiddlewaretoken": token_on(browser, "profile")}
        files = {"picture": ("me.png", picture(), "image/png")}
        assert browser.post("/accounts/profile/", data=profile, files=files).is_success


def token_on(browser: httpx.Client, page: str) -> str:
    found = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', browser.get(f"/accounts/{page}/").text)
    assert found
    return found[1]


def rows(run: KeyedRun, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(embedded_postgres.start(run.data / "postgres")) as connection:
        return connection.execute(query).fetchall()


def stored_picture(run: KeyedRun) -> bytes:
    ((webp,),) = rows(run, "SELECT webp FROM accounts_picture")
    return bytes(webp)


def test_with_the_same_keys_everything_works(original: Original, tmp_path: Path) -> None:
    data = tmp_path / "data"
    make("restore", data, original.file)
    with started(data, SECRET_KEY=SECRET, ENCRYPTION_KEYS=ENCRYPTION) as (run, client):
        client.headers.update(original.headers)
        assert messages_in(client, original.conversation) == original.messages
        assert client.get(f"/v1/images/{original.image}").content == original.image_bytes
        assert stored_picture(run) == original.picture
        expect_nothing_reserved(Ledger(run))
        charges = Ledger(run).charges()
        assert original.charges.items() <= charges.items()
        assert charges[original.running_turn] > 0
        turn = client.get(f"/v1/chat/turns/{original.running_turn}").json()
        assert (turn["status"], turn["finish_reason"]) == ("done", "interrupted")
        assert run.manage("check_ledger").startswith("No differences")
        assert ask(client, conversation_id=original.conversation).json()["reply"] == "Hello there."
        client.headers["authorization"] = f"Bearer {original.api_key}"
        assert ask(client).status_code == 200
        another = {"email": "zoe@example.com", "password": PASSWORD, "name": "Zoe"}
        another |= {"tenant_name": "Umbrella", "workspace_name": "Lab"}
        assert client.post("/v1/auth/signup", json=another).status_code == 201
        assert run.manage("check_ledger").startswith("No differences")


def test_with_another_secret_key_people_sign_in_again(original: Original, tmp_path: Path) -> None:
    data = tmp_path / "data"
    make("restore", data, original.file)
    with started(data, SECRET_KEY=OTHER_SECRET, ENCRYPTION_KEYS=ENCRYPTION) as (_, client):
        client.headers.update(original.headers)
        assert client.get("/v1/me").status_code == 401
        sign_in(client)
        assert messages_in(client, original.conversation) == original.messages
        assert client.get(f"/v1/images/{original.image}").content == original.image_bytes
        assert ask(client).json()["reply"] == "Hello there."  # by the provider's key
        client.headers["authorization"] = f"Bearer {original.api_key}"
        assert ask(client).status_code == 200


def test_without_the_encryption_keys_secrets_are_unreadable_and_can_be_entered_again(
    original: Original, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    make("restore", data, original.file)
    with started(data, SECRET_KEY=OTHER_SECRET) as (run, client):
        sign_in(client)
        assert messages_in(client, original.conversation) == original.messages
        unreadable = client.get(f"/v1/images/{original.image}")
        assert (unreadable.status_code, unreadable.json()["error"]["code"]) == (503, "secret_unreadable")
        refused = ask(client).json()["error"]
        assert (refused["code"], "Enter it again" in refused["message"]) == ("provider_error", True)
        shown = ask(client, conversation_id=original.conversation)
        assert shown.status_code != 500
        with pytest.raises(subprocess.CalledProcessError) as caught:
            run.manage("reseal_secrets")
        assert "Unreadable: " in caught.value.stdout
        credentials = client.get("/v1/workspaces/sales/credentials").json()["data"]
        (credential,) = [row for row in credentials if row["has_key"]]
        where = f"/v1/workspaces/sales/credentials/{credential['id']}"
        again = client.patch(where, json={"key": PROVIDER_KEY})
        assert again.is_success, again.text
        assert ask(client).json()["reply"] == "Hello there."


def sign_in(client: httpx.Client) -> None:
    answer = client.post("/v1/auth/token", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['access']}"
