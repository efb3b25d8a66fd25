"""Limits for clients: headers, refusals, the cost of a turn, and implausible usage reports."""

import re
from typing import Any

import openai
import pytest

from accounts.tests.cast import Cast
from gateway.calls.token_count import PLAUSIBLE_EXCESS
from gateway.tests.events import STREAM, body, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, Hold, Price, TenantPlan, UsageRecord
from quotas.tests.ledger import limit_to

DURATION = r"^(\d+h)?(\d+m)?\d+s$"


def limits_in(headers: Any) -> dict[str, str]:
    return {name: headers[name] for name in headers if name.startswith("x-ratelimit-")}


def test_every_response_has_the_remainder_of_the_tightest_limits(client_of: Any, cast: Cast) -> None:
    limit_to(cast.alice, 100, level="tenant", metric="requests", window="minute")
    limit_to(cast.alice, 7, level="member", metric="requests", window="minute")
    limit_to(cast.alice, 5000, level="member", window="day")
    client = client_of(cast.alice)
    received = limits_in(send(client, "Say hello", max_tokens=5).headers)
    assert (received["x-ratelimit-limit-requests"], received["x-ratelimit-remaining-requests"]) == ("7", "6")
    assert (received["x-ratelimit-limit-tokens"], received["x-ratelimit-remaining-tokens"]) == (
        "5000",
        "4992",
    )
    assert all(
        re.match(DURATION, received[f"x-ratelimit-reset-{metric}"]) for metric in ("requests", "tokens")
    )
    with client.stream("POST", "/v1/chat/send", json=body("more", max_tokens=5), headers=STREAM) as answer:
        assert limits_in(answer.headers)["x-ratelimit-remaining-requests"] in {"5", "6"}


def test_without_any_limit_there_are_no_such_headers(client_of: Any, cast: Cast) -> None:
    TenantPlan.objects.all().delete()
    assert limits_in(send(client_of(cast.alice), "hi").headers) == {}


def test_too_many_requests_are_refused_with_the_time_to_wait(client_of: Any, cast: Cast) -> None:
    limit_to(cast.alice, 1, level="member", metric="requests", window="minute")
    client = client_of(cast.alice)
    answers = [send(client, "hi") for _ in range(3)]  # two of them lie within one minute
    refused = next(answer for answer in answers if answer.status_code != 200)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "rate_limited")
    assert (error["details"]["level"], error["details"]["metric"]) == ("member", "requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert limits_in(refused.headers)["x-ratelimit-remaining-requests"] == "0"


def test_a_refused_request_is_not_counted(client_of: Any, cast: Cast) -> None:
    limit_to(cast.alice, 50, level="member", metric="requests", window="minute")
    limit_to(cast.alice, 1)
    assert send(client_of(cast.alice), "hi").status_code == 429
    assert not BudgetWindow.objects.filter(metric="requests", used__gt=0).exists()


def test_the_openai_client_reads_limits_and_refusals(server: Any, cast: Cast) -> None:
    limit_to(cast.alice, 9, level="member", metric="requests", window="minute")
    limit_to(cast.alice, 60, level="member", window="day")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token, max_retries=0)
    asked: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "hi"}]}
    answer = client.chat.completions.with_raw_response.create(**asked, max_tokens=5)
    assert answer.headers["x-ratelimit-limit-requests"] == "9"
    with pytest.raises(openai.RateLimitError) as refusal:
        client.chat.completions.create(**asked, max_tokens=100)
    headers = refusal.value.response.headers
    assert (headers["x-ratelimit-limit-tokens"], headers["x-should-retry"]) == ("60", "false")
    assert int(headers["retry-after"]) > 0


def test_concurrent_turns_are_limited_for_completions_too(client_of: Any, cast: Cast) -> None:
    limit_to(cast.alice, 0, level="member", metric="turns", window="at_once")
    client = client_of(cast.alice)
    asked = {"model": "local", "messages": [{"role": "user", "content": "hi"}]}
    for answer in (send(client, "hi"), client.post("/v1/chat/completions", json=asked)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")


def test_a_turn_reports_its_cost(client_of: Any, cast: Cast) -> None:
    Price.objects.create(
        workspace_id=cast.alice.principal.workspace.id,
        model="local",
        input=3_000_000,
        output=5_000_000,
        effective_from="2026-01-01T00:00Z",
    )
    limit_to(cast.alice, 10**6, metric="cost")
    client = client_of(cast.alice)
    received = send(client, "Say hello").json()
    usage = received["usage"]
    assert usage["cost"] == 3 * usage["input_tokens"] + 5 * usage["output_tokens"] > 0
    again = client.get(f"/v1/chat/turns/{received['turn_id']}").json()
    assert again["usage"]["cost"] == usage["cost"]


def test_a_model_without_a_price_is_refused_under_a_budget_of_money(client_of: Any, cast: Cast) -> None:
    Price.objects.all().delete()
    client = client_of(cast.alice)
    assert send(client, "hi").json()["usage"]["cost"] is None
    limit_to(cast.alice, 10**9, metric="cost")
    answer = send(client, "hi")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "price_unknown")
    received = client.post("/v1/chat/explain", json=body("hi")).json()
    assert [check.get("code") for check in received["checks"] if not check["allowed"]] == ["price_unknown"]


@pytest.mark.parametrize(
    "case",
    [
        (None, "unreported", False),
        ((0, 1), "estimated", False),
        ((3, 0), "estimated", False),
        ((3, 50), "exact", True),
        ((2, PLAUSIBLE_EXCESS * 1000), "estimated", False),
        ((10**40, 1), "estimated", False),
    ],
)
def test_the_ledger_limits_implausible_usage_reports(
    client_of: Any, cast: Cast, provider: ScriptedProvider, case: tuple[Any, str, bool]
) -> None:
    claim, exactness, overrun = case
    provider.script = Script(steps=["one ", "two ", "three "], usage=claim)
    answer = send(client_of(cast.alice), "count", max_tokens=10).json()
    line = UsageRecord.objects.get()
    assert (line.exactness, Hold.objects.get().overrun) == (exactness, overrun)
    assert 3 <= line.output_tokens <= 50
    assert answer["usage"]["output_tokens"] == line.output_tokens
    assert check_ledger().differences == []
