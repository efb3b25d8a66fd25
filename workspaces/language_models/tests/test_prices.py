"""Owners and admins set the prices of models: from now on or later, never in the past."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from quotas.models import Price
from quotas.tests.test_budgets import ask, code_of, manage

pytestmark = pytest.mark.django_db
PATH = "workspaces/sales/models/local/prices"


def price_of_local(cast: Cast) -> Any:
    models = ask(cast.bob, "GET", "workspaces/sales/models").json()["data"]
    return next(row["price"] for row in models if row["slug"] == "local")


def test_the_built_in_model_is_free_unless_a_price_is_set(cast: Cast) -> None:
    assert price_of_local(cast) == {"input": 0, "cached_input": 0, "output": 0, "reasoning": 0}
    answer = ask(cast.alice, "POST", PATH, {"input": 5, "output": 7, "cached_input": 2})
    assert (answer.status_code, answer.json()["is_in_force"]) == (201, True)
    assert price_of_local(cast) == {"input": 5, "cached_input": 2, "output": 7, "reasoning": 7}
    entry = AuditEntry.objects.get(action="price.set")
    assert (entry.target, entry.changes["input"]) == ("local", [None, 5])


def test_a_model_without_a_price_has_none(cast: Cast) -> None:
    Price.objects.all().delete()
    assert price_of_local(cast) is None


def test_a_price_may_begin_later_but_not_in_the_past(cast: Cast) -> None:
    soon, past = timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=1)
    later = ask(cast.alice, "POST", PATH, {"input": 9, "output": 9, "effective_from": soon.isoformat()})
    assert later.json()["is_in_force"] is False
    assert price_of_local(cast)["input"] == 0
    earlier = ask(cast.alice, "POST", PATH, {"input": 9, "output": 9, "effective_from": past.isoformat()})
    assert (code_of(earlier), list(earlier.json()["error"]["details"])) == (
        (422, "invalid_input"),
        ["effective_from"],
    )
    again = ask(cast.alice, "POST", PATH, {"input": 8, "output": 9, "effective_from": soon.isoformat()})
    assert code_of(again) == (409, "conflict")
    assert [row["input"] for row in ask(cast.bob, "GET", PATH).json()["data"]] == [9]


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": -1},
        {"output": 10**12},
        {"input": 1.5},
        {"input": None},
        {"reasoning": -2},
        {"effective_from": "x"},
    ],
)
def test_an_invalid_price_is_refused(cast: Cast, wrong: dict[str, Any]) -> None:
    answer = ask(cast.alice, "POST", PATH, {"input": 1, "output": 1, **wrong})
    assert (code_of(answer), list(answer.json()["error"]["details"])) == ((422, "invalid_input"), list(wrong))


def test_a_manager_cannot_set_a_price_and_an_unknown_model_is_404(cast: Cast) -> None:
    manage(cast.bob)
    assert code_of(ask(cast.bob, "POST", PATH, {"input": 1, "output": 1})) == (403, "role_too_low")
    unknown = PATH.replace("local", "gpt-9")
    assert code_of(ask(cast.alice, "POST", unknown, {"input": 1, "output": 1})) == (404, "not_found")


def test_a_price_is_set_on_its_page(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice.user)
    page = "/t/acme/w/sales/models/local/price"
    text = client.post(page, {"input": "2.5", "output": "0.000001"}, follow=True).content.decode()
    assert "USD 2.50 / " in text
    price = Price.objects.get(workspace__slug="sales")
    assert (price.input, price.output, price.reasoning) == (2_500_000, 1, None)
    assert "greater than or equal to 0" in client.post(page, {"input": "-1", "output": "1"}).content.decode()
    assert client.get("/t/acme/w/sales/models/none/price").status_code == 404
    client.force_login(cast.bob.user)
    assert client.get(page).status_code == 403
