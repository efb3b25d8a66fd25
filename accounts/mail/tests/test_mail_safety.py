"""Mail that strangers can cause: its links, its limits, and names in it."""

import re
from typing import Any

import pytest
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.template.loader import get_template
from django.test import Client
from django.utils import timezone

from accounts.mail.names import is_plain
from accounts.mail.services import compose
from accounts.models import User
from accounts.sign_in.tests.test_sign_in import App
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.mailbox import everything_in, mails_to
from accounts.tests.requests_as import As

pytestmark = pytest.mark.django_db
SITE, EVIL = "https://chat.example.test", "evil.attacker.test"
ADDRESS = re.compile(r"https?://[^\s\"'<>]+")
HOSTILE = ["Acme www.evil.test", "WIN 1000 USD https://evil.test/claim", "evil.test/claim", "a@evil.test"]


@pytest.fixture(autouse=True)
def hostile_host(settings: Any) -> None:
    """The installation accepts every Host, and an attacker sends their own."""
    cache.clear()
    settings.ALLOWED_HOSTS, settings.SITE_URL = ["*"], SITE


class Attacker(Client):
    def generic(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["headers"] = {**(kwargs.get("headers") or {}), "Host": EVIL, "X-Forwarded-Host": EVIL}
        return super().generic(*args, **kwargs)


def expect_our_links(most_without: int = 0) -> None:
    """In every mail so far; at most `most_without` may have no link."""
    without = 0
    for message in mail.outbox:
        text = everything_in(message)
        assert EVIL not in text, message.subject
        links = ADDRESS.findall(text)
        assert all(link.startswith(f"{SITE}/") for link in links), links
        without += not links
    assert mail.outbox
    assert without <= most_without


def proved(email: str) -> User:
    user = User.objects.get(email=email)
    EmailAddress.objects.update_or_create(
        user=user, email=email, defaults={"verified": True, "primary": True}
    )
    return user


SIGN_UP = {"name": "Erin", "email": "erin@example.com", "password1": PASSWORD, "tenant_name": "Initech"}


@pytest.mark.parametrize("mode", ["optional", "mandatory"])
def test_links_in_mails_to_strangers_ignore_the_host_header(cast: Cast, settings: Any, mode: str) -> None:
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = mode
    Attacker().post("/accounts/signup/", SIGN_UP)
    Attacker().post("/accounts/signup/", {**SIGN_UP, "email": "alice@example.com"})  # has an account
    Attacker().post("/accounts/password/reset/", {"email": "bob@example.com"})
    Attacker().post("/accounts/password/reset/", {"email": "nobody@example.com"})
    app = App()
    app.client = Attacker()
    app.ask("POST", "auth/password/request", {"email": "dana@example.com"})
    app.ask("POST", "auth/signup", {"email": "fred@example.com", "password": PASSWORD})
    api = As()
    api.client = Attacker()
    body = {"email": "gina@example.com", "password": PASSWORD, "name": "G", "tenant_name": "G"}
    api.ask("POST", "auth/signup", body)
    subjects = [message.subject for message in mail.outbox]
    expected = ["Confirm your email address"] * 3 + ["Reset your password"] * 2
    expected += ["No account has this address"]
    expected += ["You already have an account"] if mode == "mandatory" else []
    assert sorted(subjects) == sorted(expected)
    expect_our_links()


def test_links_in_mails_about_account_and_team_ignore_the_host_header(cast: Cast) -> None:
    proved("alice@example.com")
    client = Attacker()
    client.post("/accounts/login/", {"login": "alice@example.com", "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.post("/accounts/email/", {"email": "second@example.com", "action_add": "1"})
    EmailAddress.objects.filter(email="second@example.com").update(verified=True)
    client.post("/accounts/email/", {"email": "second@example.com", "action_primary": "1"})
    client.post("/accounts/email/", {"email": "alice@example.com", "action_remove": "1"})
    new = "a quiet harbour at dawn"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    client.post("/accounts/password/change/", form)
    charlie = As(cast.charlie)
    charlie.client = Attacker()
    charlie.ask("POST", "tenant/invitations", {"emails": ["erin@example.com"]})
    subjects = " | ".join(message.subject for message in mail.outbox)
    assert len(mail.outbox) == 5, subjects
    expect_our_links(most_without=3)


def templates() -> list[str]:
    """Of every mail that allauth or we can send."""
    account = [
        *("email_confirmation", "email_confirmation_signup", "password_reset_key", "unknown_account"),
        *("account_already_exists", "password_changed", "password_set", "password_reset", "email_changed"),
        *("email_confirm", "email_deleted", "login_code", "password_reset_code"),
    ]
    steps = [
        *("totp_activated", "totp_deactivated", "webauthn_added", "webauthn_removed"),
        "recovery_codes_generated",
    ]
    return [
        *(f"account/email/{name}" for name in account),
        *(f"mfa/email/{name}" for name in steps),
        *(f"socialaccount/email/account_{name}" for name in ("connected", "disconnected")),
        *(f"mail/{name}" for name in ("invitation", "soft_limit", "access_removed")),
    ]


@pytest.mark.parametrize("template", templates())
def test_no_template_has_the_host_or_a_link_from_a_name(template: str, rf: Any, cast: Cast) -> None:
    get_template(f"{template}_message.txt")
    user = cast.alice.user
    for name in HOSTILE:
        user.name = name
        context = {
            "user": user,
            "person": user,
            "inviter": name,
            "tenant": name,
            "whose": f"The team {name}",
            "keys": [f"{name} (sy_x…)"],
            "code": "123456",
            "timestamp": timezone.now(),
            "request": rf.get("/", headers={"Host": EVIL}),
            "url": f"{SITE}/x",
        }
        get_adapter().send_mail(template, "victim@example.com", context)
        compose(template, "victim@example.com", context)
        for message in mails_to("victim@example.com"):
            text = everything_in(message)
            assert "evil" not in text, text
            assert "@" not in message.subject
        cache.clear()


def test_the_mail_after_a_reset_says_that_the_keys_were_revoked() -> None:
    context = {"was_reset": True, "keys": ["CI (sy_x…)"], "url": f"{SITE}/x"}
    mailed = compose("mail/access_removed", "alice@example.com", context)
    assert mailed.subject == "We secured your Switchyard account"
    assert "Your password was reset by email. We revoked your API keys" in mailed.body
    assert "CI (sy_x…)" in mailed.body


@pytest.mark.parametrize(
    "name",
    [
        *HOSTILE,
        "evil．test",
        "evil。test",
        "evil｡test",
        "evil․test",
        "ev\u200bil.te\u200bst",
        "evil.\u2060test",
        "мир.рф",
        "http:evil",
        "10.0.0.1",
        "me＠evil.test",
        "www evil",
        "tel:+1900",
    ],
)
def test_a_name_that_could_become_a_link_is_not_plain(name: str) -> None:
    assert not is_plain(name)


@pytest.mark.parametrize(
    "name",
    ["Acme", "Smith & Co. KG", "J. R. R. Tolkien", "U.S. Team", "<b>Ann</b>", "Müller", "v2.0"],
)
def test_ordinary_names_are_plain(name: str) -> None:
    assert is_plain(name)


def test_an_invitation_shows_only_plain_names_of_team_and_inviter(cast: Cast) -> None:
    As(cast.alice).ask("POST", "tenant/invitations", {"emails": ["erin@example.com"]})
    assert mail.outbox[-1].subject == "Alice invites you to Acme"
    for name in HOSTILE:
        As(cast.alice).ask("PATCH", "tenant", {"name": name})
        As(cast.alice).ask("POST", "tenant/invitations", {"emails": [f"p{len(mail.outbox)}@example.com"]})
        assert mail.outbox[-1].subject == "You are invited to a team on Switchyard"
        assert "evil" not in everything_in(mail.outbox[-1])


def test_the_mail_that_an_account_exists_is_sent_once_an_hour(cast: Cast, settings: Any) -> None:
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    body = {"email": "alice@example.com", "password": PASSWORD, "name": "X", "tenant_name": "X"}
    for spelling in ("alice@example.com", "ALICE@example.com", "Alice@Example.com"):
        assert As().ask("POST", "auth/signup", {**body, "email": spelling}).status_code == 202
        Client().post("/accounts/signup/", {**SIGN_UP, "email": spelling})
        App().ask("POST", "auth/signup", {"email": spelling, "password": PASSWORD})
    assert len(mails_to("alice@example.com")) == 1
    cache.clear()  # an hour later
    As().ask("POST", "auth/signup", body)
    assert len(mails_to("alice@example.com")) == 2


@pytest.mark.parametrize(("address", "most"), [("alice@example.com", 5), ("nobody@example.com", 1)])
def test_reset_mails_are_limited_and_the_response_stays_the_same(cast: Cast, address: str, most: int) -> None:
    answers = set()
    for number in range(8):
        client = Client(REMOTE_ADDR=f"203.0.113.{number}")
        answers.add(client.post("/accounts/password/reset/", {"email": address}).url)
        app = App()
        app.client = client
        answers.add(app.ask("POST", "auth/password/request", {"email": address})["status"])
    assert len(answers) == 2
    assert len(mails_to(address)) == most


def test_confirmation_mails_are_limited_to_five_an_hour(cast: Cast) -> None:
    address, _ = EmailAddress.objects.get_or_create(user=cast.alice.user, email="alice@example.com")
    for _ in range(8):
        address.send_confirmation()
    assert len(mails_to("alice@example.com")) == 5
