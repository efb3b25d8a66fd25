"""Every documented route refuses a field that it does not know, by name: a misspelt one is never ignored."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.tests.cast import Cast
from accounts.tests.requests_as import As
from config.openapi import PASSING_ON
from gateway.tests.served import Served

PATH = {
    "workspace": "sales",
    "model": "local",
    "server": "github",
    "tool": "search",
    "prompt": "letter",
}
AN_ID = "00000000-0000-4000-8000-000000000000"
LEFT_OUT = {
    *(("post", path) for path in PASSING_ON),  # to providers, and have their own rules
    ("post", "/v1/auth/team"),  # takes an app's session in place of a bearer token
}


def routes_with_a_body(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, methods in schema["paths"].items():
        for method, described in methods.items():
            content = (
                described.get("requestBody", {}).get("content", {}) if isinstance(described, dict) else {}
            )
            if "application/json" in content and (method, path) not in LEFT_OUT:
                named = [one["name"] for one in described.get("parameters", []) if one["in"] == "path"]
                yield method, path.format(**{name: PATH.get(name, AN_ID) for name in named})


@pytest.mark.django_db(transaction=True)
def test_every_route_names_a_field_that_it_does_not_know(
    server: Served, client_of: Any, cast: Cast, settings: Any
) -> None:
    settings.THROTTLE_PER_MINUTE = dict.fromkeys(settings.THROTTLE_PER_MINUTE, 10_000)
    alice = client_of(cast.alice)
    routes = list(routes_with_a_body(alice.get("/v1/schema", headers={"accept": "application/json"}).json()))
    assert len(routes) > 40
    ignored = {}
    for method, path in routes:
        answer = alice.request(method, path, json={"wrokspace_id": "sales"})
        details = answer.json()["error"].get("details", {})
        if answer.status_code != 422 or "Unknown field" not in str(details.get("wrokspace_id")):
            ignored[f"{method} {path}"] = (answer.status_code, answer.text[:200])
    assert ignored == {}


@pytest.mark.django_db
def test_a_field_is_refused_though_the_rest_of_the_body_is_right(cast: Cast) -> None:
    body = {"name": "Sales", "nmae": "Sales"}
    answer = As(cast.alice).ask("PATCH", "workspaces/sales", body)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_input"
    assert list(answer.json()["error"]["details"]) == ["nmae"]
    assert "name" in json.dumps(answer.json()["error"]["details"]["nmae"])
