"""A page's size is a whole number within bounds; anything else is refused by name."""

import pytest

from accounts.tests.cast import Cast
from accounts.tests.requests_as import As

pytestmark = pytest.mark.django_db
LISTS = [
    "conversations",
    "tenant/members",
    "tenant/invitations",
    "tenant/audit",
    "tenant/api-keys",
    "tenant/service-accounts",
    "workspaces",
    "workspaces/sales/members",
    "workspaces/sales/audit",
    "workspaces/sales/api-keys",
    "workspaces/sales/prompts",
    "workspaces/sales/budgets",
    "workspaces/sales/models/local/prices",
    "budgets",
]


def test_every_list_refuses_a_wrong_limit(cast: Cast) -> None:
    alice = As(cast.alice)
    for path in LISTS:
        for wrong in ("0", "-1", "abc", "201", "1.5", "", "9" * 5000, "%C2%B2", "%00", "1_0", "%201"):
            answer = alice.ask("GET", f"{path}?limit={wrong}")
            assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["limit"]), (
                path,
                wrong,
            )
        for right in ("1", "200", "007"):
            assert alice.ask("GET", f"{path}?limit={right}").status_code == 200, path
    assert len(alice.ask("GET", "tenant/members?limit=1").json()["data"]) == 1
