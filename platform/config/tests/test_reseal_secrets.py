"""`reseal_secrets` brings every tenant's secrets under the newest key, and tells of those it cannot read."""

import io
from typing import Any
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command

from accounts.engine_accounts import find_account, member_account, operator_account
from accounts.models import EngineAccount, OutgoingMail
from accounts.tests.cast import Cast, Person
from config.management.commands import reseal_secrets as command
from kit.secrets import SecretUnreadable, seal, unseal
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential
from workspaces.models import MCPServer, MCPSignIn, ProviderCredential

pytestmark = pytest.mark.django_db(transaction=True)

OLD, NEW = "an old key " * 4, "a new key " * 4


@pytest.fixture(autouse=True)
def old_key(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]


def reseal_secrets() -> str:
    output = io.StringIO()
    call_command("reseal_secrets", stdout=output)
    return output.getvalue()


def add_key(person: Person, name: str, key: str) -> UUID:
    place = person.principal
    with tenant_scope(place.tenant):
        row = add_credential(
            workspace_id=place.workspace.id,
            name=name,
            kind="compatible",
            key=key,
            base_url="https://x.example",
        )
    return row.id


def key_of(person: Person, credential_id: UUID) -> str:
    with tenant_scope(person.principal.tenant):
        return ProviderCredential.objects.get(id=credential_id).sealed_key


def test_secrets_of_every_tenant_and_of_engine_accounts_move_to_the_newest_key(
    cast: Cast, settings: Any
) -> None:
    of_alice, of_charlie = add_key(cast.alice, "a", "key-a"), add_key(cast.charlie, "c", "key-c")
    account = operator_account(engine="librechat")
    password = unseal(account.sealed_password)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    output = reseal_secrets()
    assert "Encrypted again: 1 engine accounts." in output
    assert "Encrypted again: 2 providers' credentials." in output
    settings.ENCRYPTION_KEYS = [NEW]
    assert unseal(key_of(cast.alice, of_alice)) == "key-a"
    assert unseal(key_of(cast.charlie, of_charlie)) == "key-c"
    found = find_account(account.id)
    assert found is not None
    assert unseal(found.sealed_password) == password


def test_it_can_be_repeated_and_says_no_secret(cast: Cast, settings: Any) -> None:
    of_alice = add_key(cast.alice, "a", "key-a")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    first, second = reseal_secrets(), reseal_secrets()
    assert first == second
    assert "key-a" not in first
    assert unseal(key_of(cast.alice, of_alice)) == "key-a"


def test_one_that_cannot_be_read_is_named_left_alone_and_stops_nothing(cast: Cast, settings: Any) -> None:
    lost = add_key(cast.alice, "lost", "key-a")
    sealed_before = key_of(cast.alice, lost)
    settings.ENCRYPTION_KEYS = [NEW]
    of_charlie = add_key(cast.charlie, "c", "key-c")
    output = io.StringIO()
    with pytest.raises(CommandError, match="1 cannot be read"):
        call_command("reseal_secrets", stdout=output)
    assert f"Unreadable: acme: provider credential {lost} lost" in output.getvalue()
    assert "Encrypted again: 1 providers' credentials." in output.getvalue()
    assert key_of(cast.alice, lost) == sealed_before
    assert unseal(key_of(cast.charlie, of_charlie)) == "key-c"
    with pytest.raises(SecretUnreadable):
        unseal(sealed_before)


def test_a_credential_without_a_key_stays_without_one(cast: Cast) -> None:
    keyless = add_key(cast.alice, "keyless", "")
    assert "Encrypted again: 0 providers' credentials." in reseal_secrets()
    assert key_of(cast.alice, keyless) == ""


def test_more_rows_than_a_batch_are_all_taken_once(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BATCH", 2)
    ids = [add_key(cast.alice, f"k{number}", f"key-{number}") for number in range(5)]
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert "Encrypted again: 5 providers' credentials." in reseal_secrets()
    settings.ENCRYPTION_KEYS = [NEW]
    assert [unseal(key_of(cast.alice, row)) for row in ids] == [f"key-{number}" for number in range(5)]


def test_an_account_that_cannot_be_read_is_named_by_its_id(cast: Cast, settings: Any) -> None:
    place = cast.alice.principal
    account = member_account(engine="librechat", tenant_id=place.tenant.id, user_id=place.user_id)
    EngineAccount.objects.filter(id=account.id).update(sealed_password="no sealed text")
    output = io.StringIO()
    with pytest.raises(CommandError):
        call_command("reseal_secrets", stdout=output)
    assert f"Unreadable: engine account {account.id}\n" in output.getvalue()
    assert seal("still works")


def test_second_steps_and_waiting_mail_move_too(cast: Cast, settings: Any) -> None:
    step = Authenticator.objects.create(
        user=cast.alice.user, type="totp", data={"secret": seal("JBSWY3DP"), "other": 1}
    )
    mail = OutgoingMail.objects.create(to="x@example.com", subject="Hi", sealed_message=seal("text"))
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    output = reseal_secrets()
    assert "Encrypted again: 1 authenticators." in output
    assert "Encrypted again: 1 queued emails." in output
    settings.ENCRYPTION_KEYS = [NEW]
    step.refresh_from_db()
    mail.refresh_from_db()
    assert (unseal(step.data["secret"]), step.data["other"]) == ("JBSWY3DP", 1)
    assert unseal(mail.sealed_message) == "text"


def test_what_mcp_servers_are_shown_moves_too(cast: Cast, settings: Any) -> None:
    place = cast.alice.principal
    with tenant_scope(place.tenant):
        keyed = MCPServer.objects.create(
            workspace_id=place.workspace.id,
            slug="keyed",
            sealed_header=seal("key"),
            sealed_client=seal("client"),
            sealed_url=seal("address"),
        )
        MCPSignIn.objects.create(server=keyed, sealed_access=seal("access"), sealed_refresh=seal("refresh"))
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert "Encrypted again: 5 MCP servers' secrets." in reseal_secrets()
    settings.ENCRYPTION_KEYS = [NEW]
    with tenant_scope(place.tenant):
        server, sign_in = MCPServer.objects.get(), MCPSignIn.objects.get()
    theirs = (server.sealed_header, server.sealed_client, server.sealed_url)
    granted = (sign_in.sealed_access, sign_in.sealed_refresh)
    output = [unseal(text) for text in (*theirs, *granted)]
    assert output == ["key", "client", "address", "access", "refresh"]
