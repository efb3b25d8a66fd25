"""A turn takes the same few statements, with the same plans, however long its history; a page takes few."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.tests.cast import Cast, Person
from gateway.tests.events import send
from gateway.tests.scripted_provider import ScriptedProvider
from kit.tests.statements import Statement, recorded
from quotas.models import UsageRecord
from quotas.tests.ledger import limit_to

# Of a turn with one call: what applies, open, adopt, sent, settle, close, live calls; then, for the client,
# its lines and what is left: the payer, what applies.
QUOTA_STATEMENTS = 10
# Seven units of work, which each enter their schema; two of them are transactions, with BEGIN and COMMIT.
TURN_STATEMENTS = 25 + 7 + 2 * 2
# Two of them enter schemas: the public one for the session and the rights, then the tenant's.
PAGE_STATEMENTS = {"chat/": 10, "usage": 13, "models": 11, "mcps": 9, "prompts": 9}
GROWING = {
    "quotas_usagerecord",
    "quotas_usageday",
    "quotas_hold",
    "quotas_reservation",
    "quotas_budgetwindow",
}
RECORDS = 1_000_000
TENANTS = 1000

SEED = f"""
    INSERT INTO quotas_reservation (id, tenant_id, workspace_id, user_id, time_zone, purpose, engine,
        counters, state, lease_expires_at, created_at)
    SELECT uuid(n), uuid(n % {TENANTS}), uuid(n % 3000), uuid(n % 9000), 'UTC', 'chat', 'direct', '{{}}',
        'closed', now(), now() - n * interval '10 seconds' FROM generate_series(1, {RECORDS}) AS n;
    INSERT INTO quotas_hold (id, reservation_id, call_id, counters, day, model, provider, state,
        prompt_bound, output_bound, cost_bound, streamed_tokens, fingerprint, overrun, created_at)
    SELECT uuid(n), uuid(n), uuid(n), '{{}}', current_date - n / 8640, 'local', 'local', 'settled', 1, 1, 0,
        0, '', false, now() - n * interval '10 seconds' FROM generate_series(1, {RECORDS}) AS n;
    INSERT INTO quotas_usagerecord (at, day, tenant_id, workspace_id, user_id, turn_id, call_id, purpose,
        model, provider, engine, counters, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
        exactness, is_correction)
    SELECT now() - n * interval '10 seconds', current_date - n / 8640, uuid(n % {TENANTS}), uuid(n % 3000),
        uuid(n % 9000), uuid(n), uuid(n), 'chat', 'local', 'local', 'direct', '{{}}', 1, 0, 1, 0, 'exact',
        false
    FROM generate_series(1, {RECORDS}) AS n;
    INSERT INTO quotas_usageday (tenant_id, day, workspace_id, user_id, model, purpose, calls, input_tokens,
        cached_tokens, output_tokens, reasoning_tokens, cost, unpriced_calls)
    SELECT tenant_id, day, workspace_id, user_id, model, purpose, count(*), sum(input_tokens), 0,
        sum(output_tokens), 0, 0, count(*)
    FROM quotas_usagerecord WHERE tenant_id::text LIKE '00000000-0000-4000-9000-%'
    GROUP BY tenant_id, day, workspace_id, user_id, model, purpose;
    INSERT INTO quotas_budgetwindow (tenant_id, level, scope_id, subject_id, metric, "window", starts_at,
        used, reserved, carried, granted)
    SELECT uuid(n % {TENANTS}), 'member', uuid(n % {TENANTS}), uuid(n), 'tokens', 'total', '1970-01-01',
        0, 0, 0, 0
    FROM generate_series(1, {RECORDS // 10}) AS n;
    ANALYZE;
""".replace("uuid(", "numbered_uuid(")


def of_quotas(statements: list[Statement]) -> list[Statement]:
    return [(sql, params) for sql, params in statements if "quotas_" in sql]


def limit_every_level(cast: Cast) -> None:
    for level in ("tenant", "workspace", "member"):
        limit_to(cast.alice, 10**9, level=level)
        limit_to(cast.alice, 10**9, level=level, metric="cost", window="day")
        limit_to(cast.alice, 10**6, level=level, metric="requests", window="minute")
        limit_to(cast.alice, 10**6, level=level, metric="turns", window="at_once")


def turn_of(client: Any, monkeypatch: pytest.MonkeyPatch, **body: Any) -> list[Statement]:
    """The statements of an ordinary turn: the fewest of several that two turns agree on.

    The first turn of a minute needs new counters, and a slow turn checks its access meanwhile.
    """
    found: list[list[Statement]] = []
    for _ in range(8):
        with recorded(monkeypatch) as statements:
            send(client, "hello", **body)
        found.append(statements)
        fewest = min(found, key=len)
        if sum(len(each) == len(fewest) for each in found) == 2:
            break
    return fewest


def test_a_turn_takes_as_many_statements_after_ten_turns_as_after_one(
    client_of: Any, cast: Cast, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(cast.alice)
    conversation_id = send(client, "first").json()["conversation_id"]
    early = turn_of(client, monkeypatch, conversation_id=conversation_id)
    for number in range(10):
        send(client, f"more {number}", conversation_id=conversation_id)
    late = turn_of(client, monkeypatch, conversation_id=conversation_id)
    assert len(late) == len(early) == TURN_STATEMENTS, [sql for sql, _ in late]
    assert UsageRecord.objects.count() == len(provider.requests)


def test_twelve_limits_take_as_many_statements_as_one(
    client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(cast.alice)
    send(client, "first")
    one = of_quotas(turn_of(client, monkeypatch))
    limit_every_level(cast)
    send(client, "second")
    many = of_quotas(turn_of(client, monkeypatch))
    assert len(one) == QUOTA_STATEMENTS, [sql for sql, _ in one]
    # One more: the slots of concurrent turns are released.
    assert len(many) == QUOTA_STATEMENTS + 1, [sql for sql, _ in many]


@pytest.mark.slow
def test_a_million_records_change_neither_the_statements_nor_their_plans(
    client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(cast.alice)
    limit_every_level(cast)
    send(client, "first")
    few = of_quotas(turn_of(client, monkeypatch))
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION numbered_uuid(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE "
            "AS $$ SELECT ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid $$"
        )
        try:
            cursor.execute(SEED)
            many = of_quotas(turn_of(client, monkeypatch))
            assert [sql for sql, _ in many] == [sql for sql, _ in few]
            for statement in many:
                assert whole_reads(statement) == [], statement[0]
        finally:
            cursor.execute("DROP FUNCTION numbered_uuid")


def whole_reads(statement: Statement) -> list[str]:
    """The growing tables that the statement's plan would read from end to end."""
    sql, params = statement
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        received = cursor.fetchone()[0]
    plan = (json.loads(received) if isinstance(received, str) else received)[0]["Plan"]
    return [
        node["Relation Name"]
        for node in _nodes(plan)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING
    ]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def test_listing_conversations_takes_as_many_queries_for_twenty_as_for_one(
    client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(cast.alice)
    send(client, "first")
    with recorded(monkeypatch) as one:
        client.get("/v1/conversations")
    for number in range(19):
        send(client, f"more {number}")
    with recorded(monkeypatch) as twenty:
        assert len(client.get("/v1/conversations").json()["data"]) == 20
    assert len(one) == len(twenty)


@pytest.mark.parametrize("page", PAGE_STATEMENTS)
def test_a_page_enters_each_schema_once(
    client_of: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    client = signed_in(client_of(None), cast.alice)
    principal = cast.alice.principal
    url = f"/t/{principal.tenant.slug}/w/{principal.workspace.slug}/{page}"
    client.get(url)  # the first visit is remembered in the session
    with recorded(monkeypatch) as statements:
        assert client.get(url).status_code == 200
    entered = [sql for sql, _ in statements if sql.startswith("SET search_path")]
    assert entered == [
        'SET search_path = "public"',
        f'SET search_path = "{principal.tenant.schema_name}","public"',
    ]
    assert len(statements) == PAGE_STATEMENTS[page], [sql for sql, _ in statements]


def signed_in(client: httpx.Client, person: Person) -> httpx.Client:
    browser = Client()
    browser.force_login(person.user)
    client.cookies.set(settings.SESSION_COOKIE_NAME, browser.cookies[settings.SESSION_COOKIE_NAME].value)
    return client
