"""A turn takes the same number of statements however much history there is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.backends import utils

from accounts.tests.cast import Cast
from gateway.tests.events import send
from quotas.models import UsageRecord


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement of every thread, those that only choose the schema left out."""
    seen: list[str] = []
    execute = utils.CursorWrapper.execute

    def count(self: Any, sql: Any, params: Any = None) -> Any:
        if not str(sql).startswith("SET search_path"):
            seen.append(str(sql))
        return execute(self, sql, params)

    with monkeypatch.context() as patched:
        patched.setattr(utils.CursorWrapper, "execute", count)
        yield seen


def test_a_turn_takes_as_many_statements_after_ten_turns_as_after_one(
    client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(cast.alice)
    conversation_id = send(client, "first").json()["conversation_id"]
    with counted(monkeypatch) as early:
        send(client, "second", conversation_id=conversation_id)
    for number in range(10):
        send(client, f"more {number}", conversation_id=conversation_id)
    with counted(monkeypatch) as late:
        send(client, "last", conversation_id=conversation_id)
    assert len(late) == len(early) <= 35
    assert UsageRecord.objects.count() == 13


def test_listing_conversations_takes_as_many_queries_for_twenty_as_for_one(
    client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(cast.alice)
    send(client, "first")
    with counted(monkeypatch) as one:
        client.get("/v1/conversations")
    for number in range(19):
        send(client, f"more {number}")
    with counted(monkeypatch) as twenty:
        assert len(client.get("/v1/conversations").json()["data"]) == 20
    assert len(one) == len(twenty)
