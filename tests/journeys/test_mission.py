"""Sign-up and a first message on a whole installation, as `make run` starts it, with the local model."""

from pathlib import Path

import httpx
import pytest

from devserver.tests.test_up import Run
from gateway.tests.events import read_events, send, text_of

pytestmark = pytest.mark.slow

ALICE = {
    "email": "alice@example.com",
    "password": "correct horse battery staple",
    "name": "Alice",
    "tenant_name": "Acme",
    "workspace_name": "Sales",
}


def test_sign_up_and_a_first_message(tmp_path: Path) -> None:
    run = Run(tmp_path / "data")
    try:
        run.wait_until_ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{run.port}", timeout=60) as client:
            signed_up = client.post("/v1/auth/signup", json=ALICE).json()
            client.headers["Authorization"] = f"Bearer {signed_up['access']}"
            events = read_events(client, "Name three colours.", max_tokens=24)
            refused = send(client, "Hi", model="gpt-4", mcps=["google_search"])
            listed = client.get("/v1/conversations", params={"workspace_id": signed_up["workspaceId"]}).json()
            quota = client.get("/v1/workspaces/sales/quota").json()["data"][0]
        usage = events[-2].data
        assert text_of(events).strip()
        assert usage["exactness"] == "exact"
        assert refused.json()["error"]["code"] == "model_not_enabled"
        assert [row["title"] for row in listed["data"]] == ["Name three colours."]
        assert (quota["used"], quota["reserved"]) == (usage["total_tokens"], 0)
    finally:
        run.clean_up()
