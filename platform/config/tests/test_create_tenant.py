"""Operators create tenants on the command line, for existing and new accounts."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Tenant, User
from accounts.principals import default_principal
from accounts.tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def create_tenant(*arguments: str) -> str:
    output = StringIO()
    call_command("create_tenant", *arguments, stdout=output)
    return output.getvalue().strip()


def test_an_existing_account_gets_a_second_tenant(cast: Cast) -> None:
    assert create_tenant("Initech", "BOB@example.com", "--workspace", "Lab") == "initech/lab"
    principal = default_principal(user_id=cast.bob.principal.user_id, tenant_slug="initech")
    assert principal is not None
    assert principal.tenant_role == "owner"


def test_a_new_person_gets_an_account_without_a_password(cast: Cast) -> None:
    assert create_tenant("Initech", "erin@example.com", "--name", "Erin") == "initech/general"
    erin = User.objects.get(email="erin@example.com")
    assert (erin.name, erin.has_usable_password()) == ("Erin", False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["Initech", "no address"],
        ["I" * 101, "erin@example.com"],
        [" ", "erin@example.com"],
        ["Initech", "erin@example.com", "--workspace", "w" * 101],
        ["Initech", "erin@example.com", "--name", "n" * 101],
    ],
)
def test_invalid_arguments_create_nothing(cast: Cast, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        create_tenant(*arguments)
    assert not User.objects.filter(email="erin@example.com").exists()
    assert Tenant.objects.count() == 2
