"""Accounts, their tokens and refresh cookies."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from gateway.tests.replayed_librechat.answers import Headers, Json
from gateway.tests.replayed_librechat.identity import object_id, timestamp


class AuthError(Exception):
    """Its message is sent to the refused caller."""


@dataclass
class Account:
    name: str
    email: str
    password: str
    role: str
    id: str = field(default_factory=object_id)
    personalization_id: str = field(default_factory=object_id)
    created_at: str = field(default_factory=timestamp)

    def as_user(self) -> Json:
        """The response of `GET /api/user`."""
        return {
            "_id": self.id,
            "id": self.id,
            "name": self.name,
            "username": "",
            "email": self.email,
            "emailVerified": True,
            "avatar": None,
            "provider": "local",
            "role": self.role,
            "plugins": [],
            "twoFactorEnabled": False,
            "termsAccepted": False,
            "personalization": {"memories": True, "_id": self.personalization_id},
            "favorites": [],
            "skillStates": {},
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
        }

    def as_signed_in(self) -> Json:
        """The response of signing in and refreshing; refreshing omits `id`."""
        return self.as_user() | {"termsAcceptedAt": None, "refreshToken": []}


class Accounts:
    """Registered accounts and valid tokens."""

    def __init__(self) -> None:
        self.by_email: dict[str, Account] = {}
        self.tokens: dict[str, Account] = {}
        self.refresh_tokens: dict[str, Account] = {}
        self.expired: set[str] = set()

    def register(self, data: Json) -> None:
        """The first account becomes the administrator; a known address is not changed."""
        if problems := _problems(data):
            raise AuthError(" ".join(problems))
        role = "USER" if self.by_email else "ADMIN"
        account = Account(data["name"], data["email"].lower(), data["password"], role)
        self.by_email.setdefault(account.email, account)

    def log_in(self, data: Json) -> Account:
        account = self.by_email.get(str(data.get("email", "")).lower())
        if account is None:
            raise AuthError("Email does not exist.")
        if account.password != data.get("password"):
            raise AuthError("Incorrect password.")
        return account

    def issue_token(self, account: Account) -> str:
        token = f"engine.{secrets.token_hex(16)}.token"
        self.tokens[token] = account
        return token

    def issue_cookies(self, account: Account) -> Headers:
        refresh = f"engine.{secrets.token_hex(16)}.refresh"
        self.refresh_tokens[refresh] = account
        expires = format_datetime(datetime.now(UTC) + timedelta(days=7), usegmt=True)
        rest = f"Path=/; Expires={expires}; HttpOnly; SameSite=Strict"
        return [
            ("set-cookie", f"refreshToken={refresh}; {rest}"),
            ("set-cookie", f"token_provider=librechat; {rest}"),
        ]

    def authenticate(self, authorization: str) -> Account:
        token = authorization.removeprefix("Bearer ")
        if not authorization.startswith("Bearer ") or not token:
            raise AuthError("No auth token")
        if token in self.expired:
            raise AuthError("jwt expired")
        if token not in self.tokens:
            raise AuthError("jwt malformed")
        return self.tokens[token]

    def expire_tokens(self) -> None:
        self.expired |= set(self.tokens)

    def expire_refresh(self) -> None:
        self.refresh_tokens.clear()


def _problems(data: Json) -> list[str]:
    name, email, password, again = (
        str(data.get(key) or "") for key in ("name", "email", "password", "confirm_password")
    )
    short = "String must contain at least {} character(s)"
    checks = [
        (len(name) >= 3, "name: " + short.format(3)),
        ("@" in email, "email: Invalid email"),
        (len(password) >= 8, "password: " + short.format(8)),
        (len(again) >= 8, "confirm_password: " + short.format(8)),
        (password == again, ": The passwords did not match"),
    ]
    return [problem for fine, problem in checks if not fine]
