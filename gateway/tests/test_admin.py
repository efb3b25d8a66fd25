"""Operators see who chats in a tenant, when and how much, but never any content."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry

from accounts.tests.cast import Cast
from accounts.tests.operators import address, desk, queries_of
from gateway.models import Conversation, Message, Turn
from gateway.tests.stored import SECRET, store_turn

pytestmark = pytest.mark.django_db

MODELS = [Conversation, Turn]


def row_of(model: Any, turn: Turn) -> Any:
    return turn.id if model is Turn else turn.conversation_id


@pytest.mark.parametrize("model", MODELS)
def test_no_page_shows_a_title_or_content(cast: Cast, model: Any) -> None:
    turn, client = store_turn(cast.bob), desk(tenant="acme")
    row = row_of(model, turn)
    pages = [client.get(address(model, page, row)) for page in ("change", "history")]
    pages += [client.get(address(model, "changelist"), query) for query in ({}, {"q": "bob"})]
    pages.append(client.get("/admin/"))
    assert str(row) in pages[0].content.decode()
    assert "bob@example.com" in pages[0].content.decode()
    for page in pages:
        assert page.status_code == 200
        assert SECRET not in page.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_content_is_not_even_read_from_the_database(cast: Cast, model: Any) -> None:
    row, client = row_of(model, store_turn(cast.bob)), desk(tenant="acme")
    pages = [address(model, "changelist"), address(model, "change", row)]
    for sql in [sql for page in pages for sql in queries_of(client, page)]:
        for column in ('"title"', '"content"', '"parts"', '"decision"', '"idempotency_key"'):
            assert column not in sql


@pytest.mark.parametrize("model", MODELS)
def test_content_cannot_be_searched(cast: Cast, model: Any) -> None:
    store_turn(cast.bob)
    page = desk(tenant="acme").get(address(model, "changelist"), {"q": SECRET})
    assert not page.context["cl"].result_list


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Conversation, "title__startswith"),
        (Conversation, "messages__content__contains"),
        (Conversation, "turns__parts__0__text__startswith"),
        (Turn, "conversation__title__startswith"),
        (Turn, "parts__0__text__startswith"),
        (Turn, "error__message"),
        (Turn, "decision__contains"),
        (Turn, "idempotency_key"),
        (Turn, "messages__content__startswith"),
    ],
)
def test_content_cannot_be_guessed_through_a_filter(cast: Cast, model: Any, lookup: str) -> None:
    store_turn(cast.bob)
    client = desk(tenant="acme")
    answers = [client.get(address(model, "changelist"), {lookup: word}) for word in (SECRET, "other")]
    assert [answer.status_code for answer in answers] == [400, 400]


@pytest.mark.parametrize("model", MODELS)
def test_conversations_and_turns_are_read_only(cast: Cast, model: Any) -> None:
    row, client = row_of(model, store_turn(cast.bob)), desk(tenant="acme")
    assert client.post(address(model, "change", row), {"title": "x"}).status_code == 403
    assert client.post(address(model, "delete", row), {"post": "yes"}).status_code == 403
    assert client.get(address(model, "add")).status_code == 403
    assert not LogEntry.objects.exists()


def test_messages_are_not_in_the_admin() -> None:
    assert Message not in admin.site._registry


def test_conversations_are_found_by_id_owner_and_workspace(cast: Cast) -> None:
    bobs, danas = store_turn(cast.bob).conversation_id, store_turn(cast.dana).conversation_id
    client = desk(tenant="acme")
    for query, found in {str(bobs): bobs, "dana@": danas, "sales": bobs, "ops dana": danas}.items():
        page = client.get(address(Conversation, "changelist"), {"q": query})
        assert [row.id for row in page.context["cl"].result_list] == [found], query


def test_a_conversation_links_to_its_turns(cast: Cast) -> None:
    turn, other = store_turn(cast.bob), store_turn(cast.bob)
    client = desk(tenant="acme")
    page = client.get(address(Turn, "changelist"), {"conversation__id__exact": str(turn.conversation_id)})
    assert [row.id for row in page.context["cl"].result_list] == [turn.id]
    assert str(other.id) not in page.content.decode()
    assert "provider_error" in client.get(address(Turn, "change", turn.id)).content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_longer_lists_take_no_more_queries(cast: Cast, model: Any) -> None:
    store_turn(cast.bob)
    client = desk(tenant="acme")
    before = len(queries_of(client, address(model, "changelist")))
    for person in (cast.bob, cast.dana, cast.alice) * 2:
        store_turn(person)
    assert len(queries_of(client, address(model, "changelist"))) == before
