"""Of 64 concurrent turns against a budget for ten, exactly ten pass, and the budget is never exceeded."""

import threading
from typing import Any

import httpx

from accounts.tests.cast import Cast
from gateway.tests.events import body, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, Hold, UsageRecord
from quotas.tests.ledger import limit_to

PROMPT_TOKENS, OUTPUT_TOKENS = 3, 5
AFFORDABLE = 10


def limit_budget(cast: Cast, tokens: int) -> None:
    limit_to(cast.alice, tokens)


def test_exactly_the_affordable_number_passes(
    client_of: Any, cast: Cast, provider: ScriptedProvider, at_once: Any
) -> None:
    limit_budget(cast, AFFORDABLE * (PROMPT_TOKENS + OUTPUT_TOKENS))
    gate = threading.Event()
    provider.script = Script(steps=["a ", "b ", "c ", "d ", gate, "e "])
    refused = threading.Thread(
        target=lambda: (wait_until(lambda: len(provider.requests) == AFFORDABLE, 30), gate.set())
    )
    refused.start()
    requests = [
        httpx.Request("POST", "/v1/chat/send", json=body("Say hello", max_tokens=OUTPUT_TOKENS))
        for _ in range(64)
    ]
    answers = at_once(cast.alice, requests)
    refused.join()

    passed = [answer for answer in answers if answer.status_code == 200]
    turned_away = [answer for answer in answers if answer.status_code == 429]
    assert (len(passed), len(turned_away)) == (AFFORDABLE, 64 - AFFORDABLE)
    assert {answer.json()["error"]["code"] for answer in turned_away} == {"quota_exceeded"}
    window = BudgetWindow.objects.get(subject_id=cast.alice.principal.workspace.id)
    assert (window.used, window.reserved) == (AFFORDABLE * 8, 0)
    assert sum(r.input_tokens + r.output_tokens for r in UsageRecord.objects.all()) == window.used
    assert not Hold.objects.exclude(state="settled").exists()
    assert check_ledger().differences == []


def test_a_refusal_names_limit_used_reserved_and_reset(client_of: Any, cast: Cast) -> None:
    limit_budget(cast, 20)
    answer = send(client_of(cast.alice), "Say hello", max_tokens=100)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "quota_exceeded")
    details = error["details"]
    assert (details["limit"], details["used"], details["reserved"], details["requested"]) == (20, 0, 0, 103)
    assert (details["level"], details["metric"], details["window"]) == ("workspace", "tokens", "month")
    assert details["resets_at"].endswith("-01T00:00:00+00:00")


def test_explain_reports_an_insufficient_budget_without_running(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    limit_budget(cast, 20)
    received = client_of(cast.alice).post("/v1/chat/explain", json=body("Say hello", max_tokens=100)).json()
    assert received["allowed"] is False
    assert [(c["check"], c["allowed"]) for c in received["checks"]] == [
        ("role", True),
        ("model", True),
        ("quota", False),
    ]
    assert provider.requests == []


def test_a_reply_that_costs_less_than_was_held_gives_the_rest_back(client_of: Any, cast: Cast) -> None:
    limit_budget(cast, 500)
    for _ in range(3):
        assert send(client_of(cast.alice), "Say hello", max_tokens=400).status_code == 200
