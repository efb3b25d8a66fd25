"""Engine accounts sign in: concurrently, in other processes, and at a LibreChat that lost them."""

import asyncio
import logging
import threading
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.engine_accounts import EngineAccountRef, find_account, member_account, operator_account
from accounts.models import EngineAccount
from accounts.tests.cast import Cast
from gateway.engines.librechat import accounts as accounts_module
from gateway.engines.librechat.accounts import ENGINE, Accounts
from gateway.engines.librechat.client import LibreChatClient, Session, TokenRefused
from gateway.engines.librechat.tests.jobs import account_of
from gateway.errors import EngineFailed, EngineUnavailable
from gateway.tests.replayed_librechat import ReplayedLibreChat
from kit.errors import DomainError
from kit.secrets import unseal
from kit.tenancy import in_public

pytestmark = pytest.mark.django_db(transaction=True)
CONVERSATION = uuid4()


def roles(librechat: ReplayedLibreChat) -> list[str]:
    """Of its accounts, in the order in which they were registered."""
    return [account.role for account in librechat.accounts.by_email.values()]


def signed_in(librechat: ReplayedLibreChat) -> list[str]:
    """How, one request after the other."""
    paths = [call.path for call in librechat.requests]
    return [path.rpartition("/")[2] for path in paths if path.startswith("/api/auth/")]


async def read(accounts: Accounts, account_id: UUID) -> list[Any]:
    """A call that needs a good token."""
    return await accounts.call(account_id, lambda token: accounts.client.messages(token, CONVERSATION))


async def found(account_id: UUID) -> EngineAccountRef:
    account = await in_public(find_account, account_id)
    assert account is not None
    return account


async def test_the_operators_account_is_registered_first_and_is_the_admin(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    alice = await account_of(cast.alice)
    member = await accounts.session(alice)
    operator = await accounts.operator()
    assert (operator.role, member.role, roles(librechat)) == ("ADMIN", "USER", ["ADMIN", "USER"])
    known = await in_public(operator_account, engine=ENGINE)
    assert next(iter(librechat.accounts.by_email)) == known.address
    assert (await found(alice)).engine_user_id == member.user_id


async def test_librechat_never_gets_a_persons_name_or_address(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    await accounts.session(await account_of(cast.alice))
    received = str(librechat.requests)
    for call in librechat.requests:  # random letters may spell any name
        received = received.replace(call.body["password"], "")
    received = received.lower()
    assert not any(word in received for word in ("alice", "acme", "example.com"))


async def test_ten_concurrent_first_turns_of_a_person_create_one_account(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    async def begin() -> tuple[UUID, Session]:
        account_id = await account_of(cast.alice)
        return account_id, await accounts.session(account_id)

    begun = await asyncio.gather(*(begin() for _ in range(10)))
    assert len({(account_id, session.token) for account_id, session in begun}) == 1
    assert await in_public(EngineAccount.objects.exclude(user=None).count) == 1
    assert roles(librechat) == ["ADMIN", "USER"]
    assert signed_in(librechat).count("register") == 2


async def test_several_people_concurrently_get_an_account_each_with_one_admin(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    people = [cast.alice, cast.bob, cast.dana, cast.charlie]
    ids = await asyncio.gather(*(account_of(person) for person in people))
    sessions = await asyncio.gather(*(accounts.session(account_id) for account_id in ids))
    assert len({session.user_id for session in sessions}) == len(people)
    assert roles(librechat) == ["ADMIN", *["USER"] * len(people)]


def test_processes_that_race_for_an_account_get_the_same_one(
    librechat: ReplayedLibreChat, settings: Any, cast: Cast
) -> None:
    """Each process is a loop in a thread of its own here, with nothing shared but the database."""
    start = threading.Barrier(4)
    received: list[tuple[UUID, str]] = []

    async def begin() -> None:
        accounts = Accounts(LibreChatClient(settings.LIBRECHAT_URL))
        await asyncio.to_thread(start.wait, 10)
        account_id = await account_of(cast.alice)
        received.append((account_id, (await accounts.session(account_id)).user_id))

    threads = [threading.Thread(target=asyncio.run, args=[begin()]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert len(received) == 4
    assert len(set(received)) == 1
    assert [EngineAccount.objects.filter(user=user).count() for user in (cast.alice.user, None)] == [1, 1]
    assert roles(librechat) == ["ADMIN", "USER"]


async def test_an_emptied_librechat_gets_the_operators_account_first(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    ids = [await account_of(person) for person in (cast.alice, cast.bob, cast.charlie)]
    await accounts.operator()
    before = [await accounts.session(account_id) for account_id in ids]
    librechat.reset()
    assert await asyncio.gather(*(read(accounts, account_id) for account_id in ids)) == [[], [], []]
    assert roles(librechat) == ["ADMIN", "USER", "USER", "USER"]
    assert (await accounts.operator()).role == "ADMIN"
    after = [await accounts.session(account_id) for account_id in ids]
    assert not {session.user_id for session in before} & {session.user_id for session in after}
    assert [(await found(account_id)).engine_user_id for account_id in ids] == [one.user_id for one in after]


async def test_concurrent_turns_share_one_sign_in_for_ten_minutes(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    """A sign-in costs LibreChat the hashing of a password, so none happens twice."""
    alice = await account_of(cast.alice)
    await asyncio.gather(*(read(accounts, alice) for _ in range(48)))
    logins = [
        "login",
        "login",
        "register",
        "login",
        "register",
        "login",
    ]  # both accounts are unknown at first
    assert signed_in(librechat) == logins
    librechat.requests.clear()
    await asyncio.gather(*(read(accounts, alice) for _ in range(48)))
    assert signed_in(librechat) == []


async def test_registering_more_people_does_not_sign_the_operator_in_again(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    await accounts.operator()
    librechat.requests.clear()
    ids = [await account_of(person) for person in (cast.alice, cast.bob, cast.dana, cast.charlie)]
    await asyncio.gather(*(accounts.session(account_id) for account_id in ids))
    counted = Counter(signed_in(librechat))
    assert (counted["login"], counted["register"]) == (8, 4)  # each unknown at first, then known
    assert counted["refresh"] <= 4


async def test_a_refused_token_is_renewed_once_for_all_waiting_calls(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    alice = await account_of(cast.alice)
    await accounts.session(alice)
    librechat.requests.clear()
    librechat.expire_tokens()
    await asyncio.gather(*(read(accounts, alice) for _ in range(5)))
    assert signed_in(librechat) == ["refresh"]


async def test_an_old_token_is_renewed_before_it_is_refused(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await account_of(cast.alice)
    first = await accounts.session(alice)
    monkeypatch.setattr(accounts_module, "TOKEN_SECONDS", 0.0)
    librechat.requests.clear()
    second = await accounts.session(alice)
    assert first.token != second.token
    assert (first.user_id, signed_in(librechat)) == (second.user_id, ["refresh"])


async def test_the_password_is_used_only_when_the_cookie_is_refused(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    alice = await account_of(cast.alice)
    await accounts.session(alice)
    librechat.requests.clear()
    librechat.expire_tokens()
    librechat.expire_refresh()
    assert await read(accounts, alice) == []
    assert signed_in(librechat) == ["refresh", "login"]


async def test_a_new_token_that_is_refused_is_an_engine_failure(accounts: Accounts, cast: Cast) -> None:
    tokens: list[str] = []

    async def refused(token: str) -> None:
        tokens.append(token)
        raise TokenRefused

    with pytest.raises(EngineFailed):
        await accounts.call(await account_of(cast.alice), refused)
    assert len(set(tokens)) == len(tokens) == 2


async def test_a_missing_account_is_an_engine_failure(accounts: Accounts) -> None:
    with pytest.raises(EngineFailed):
        await accounts.session(uuid4())


async def test_a_wrong_password_at_librechat_is_an_engine_failure(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    alice = await account_of(cast.alice)
    await accounts.session(alice)
    librechat.accounts.by_email[(await found(alice)).address].password = "another password"
    librechat.expire_tokens()
    librechat.expire_refresh()
    with pytest.raises(EngineFailed):
        await read(accounts, alice)


async def test_an_unavailable_librechat_ends_no_session(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast
) -> None:
    alice = await account_of(cast.alice)
    first = await accounts.session(alice)
    librechat.down = True
    with pytest.raises(EngineUnavailable):
        await read(accounts, alice)
    with pytest.raises(EngineUnavailable):
        await accounts.session(await account_of(cast.bob))
    librechat.down = False
    assert await accounts.session(alice) is first
    assert (await accounts.session(await account_of(cast.bob))).role == "USER"


async def test_passwords_and_tokens_are_never_logged(
    accounts: Accounts, librechat: ReplayedLibreChat, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice = await account_of(cast.alice)
    shown: list[Any] = [await accounts.session(alice), await accounts.operator(), accounts]
    librechat.expire_tokens()
    await read(accounts, alice)
    shown += [await accounts.session(alice), account := await found(alice)]
    password = unseal(account.sealed_password)
    librechat.accounts.by_email[account.address].password = "another password"
    librechat.expire_tokens()
    cookies = list(librechat.accounts.refresh_tokens)
    librechat.expire_refresh()
    with pytest.raises(DomainError) as caught:
        await read(accounts, alice)
    shown += [caught.value.as_dict(), await in_public(lambda: list(EngineAccount.objects.all()))]
    text = f"{caplog.text} {shown!r} {caught.value!r}"
    secrets = [password, account.sealed_password, *cookies, *librechat.accounts.tokens]
    assert len(secrets) > 6
    assert [secret for secret in secrets if secret in text] == []


async def test_a_member_has_one_account_in_each_tenant(cast: Cast) -> None:
    """Two rows of one person are apart at LibreChat as well: nothing of one tenant is seen in the other."""
    alice, elsewhere = cast.alice.principal, cast.charlie.principal.tenant
    both = [
        await in_public(member_account, engine=ENGINE, tenant_id=tenant.id, user_id=alice.user_id)
        for tenant in (alice.tenant, elsewhere)
    ]
    assert len({account.id for account in both}) == len({account.address for account in both}) == 2
    assert unseal(both[0].sealed_password) != unseal(both[1].sealed_password)
