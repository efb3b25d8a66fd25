"""Engines authenticate with a shared secret; while it is changed, the old and the new one are valid."""

from collections.abc import Callable
from typing import Any

import httpx

from gateway.egress.tests.engine import SECRET, Engine, EngineTurn

Begin = Callable[..., EngineTurn]
NEWER = "the secret that replaces it"


def status_with(engine: Engine, authorization: bytes | None) -> int:
    headers = {} if authorization is None else {b"authorization": authorization}
    with httpx.Client(base_url=engine.client.base_url) as client:
        answer = client.get("/v1/models", headers=headers)
    assert answer.status_code == 200 or answer.json()["error"]["code"] == "not_authenticated"
    return answer.status_code


def test_without_the_secret_access_is_refused(engine: Engine) -> None:
    wrong = ["", "Bearer", "Bearer wrong", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Basic {SECRET}"]
    odd = ["Bearer Schlüssel 🔑".encode(), b"Bearer \xff\xfe\x80"]
    sent = [None, *odd, *(text.encode() for text in wrong)]
    assert [status_with(engine, authorization) for authorization in sent] == [401] * len(sent)


def test_a_secret_may_have_any_characters(engine: Engine, settings: Any) -> None:
    settings.EGRESS_SECRETS = ["clé secrète", SECRET]
    given = [b"Bearer wrong", "Bearer clé secrète".encode(), f"Bearer {SECRET}".encode()]
    assert [status_with(engine, one) for one in given] == [401, 200, 200]


def test_two_secrets_are_valid_during_a_change_and_one_afterwards(engine: Engine, settings: Any) -> None:
    old, new = f"Bearer {SECRET}".encode(), f"Bearer {NEWER}".encode()
    assert [status_with(engine, old), status_with(engine, new)] == [200, 401]
    settings.EGRESS_SECRETS = [NEWER, SECRET]
    assert [status_with(engine, old), status_with(engine, new)] == [200, 200]
    settings.EGRESS_SECRETS = [NEWER]
    assert [status_with(engine, old), status_with(engine, new)] == [401, 200]


def test_without_a_configured_secret_everyone_is_refused(engine: Engine, settings: Any) -> None:
    settings.EGRESS_SECRETS = []
    assert [status_with(engine, given) for given in (None, b"", b"Bearer")] == [401] * 3


def test_a_call_without_the_secret_reveals_nothing_about_the_turn(engine: Engine, begin: Begin) -> None:
    turn = begin()
    engine.client.headers["Authorization"] = "Bearer wrong"
    answers = [engine.call(turn), engine.call(turn.with_ids(id=turn.conversation_id))]
    assert [answer.status_code for answer in answers] == [401, 401]


def test_the_health_check_needs_no_secret(engine: Engine) -> None:
    assert httpx.get(engine.client.base_url.join("/healthz")).json() == {"status": "ok"}


def test_the_list_of_models_has_only_the_routed_one(engine: Engine) -> None:
    listed = engine.client.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["routed"]
