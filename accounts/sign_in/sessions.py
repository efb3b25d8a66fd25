"""Sessions of browsers and apps: recorded, listed, ended; an app's tokens last as long as its session."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from typing import Any, cast
from uuid import UUID, uuid4

from allauth.core.internal.sessionkit import get_session_user
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.audit import services as audit
from accounts.models import User
from accounts.sign_in.token_families import APP_SESSION, end_family
from accounts.sign_in.user_agents import device_of

SEEN_EVERY_SECONDS = 60


class SeenMiddleware:
    """Records where a session is used, once a minute, so that most pages need no write."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        key = request.session.session_key
        if key and cache.add(f"seen:{_digest(key)}", 1, SEEN_EVERY_SECONDS) and request.user.is_authenticated:
            UserSession.objects.create_from_request(request)
        return self.get_response(request)


class SessionsAdapter(DefaultUserSessionsAdapter):
    """allauth ends sessions through this, for pages and apps."""

    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        for session in sessions:
            _end_tokens_of(session)
            session.end()
            audit.record("user.session_ended", actor_id=session.user_id, target=device_of(session.user_agent))


def _end_tokens_of(row: UserSession) -> None:
    """An app's tokens end with its session immediately, not only at the next refresh."""
    name = session_store(row.session_key).get(APP_SESSION)
    if name is not None:
        end_family(UUID(name), user_id=row.user_id)


def session_store(key: str | None = None) -> SessionBase:
    store: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return store


def live_app_session(*, user_id: UUID, name: str) -> UserSession | None:
    """The app's session of this name; None if it expired, was ended, or the password has changed."""
    for row in UserSession.objects.filter(user_id=user_id):
        session = session_store(row.session_key)
        if session.get(APP_SESSION) == name and get_session_user(session) is not None:
            return row
    return None


def prolong(row: UserSession) -> None:
    """Marks the app as seen, and extends its session to the lifetime of its new tokens."""
    UserSession.objects.filter(pk=row.pk).update(last_seen_at=timezone.now())
    session = session_store(row.session_key)
    if APP_SESSION in session:
        session.set_expiry(_lifetime())
        with suppress(UpdateError):  # ended concurrently: it stays ended
            session.save()


def name_app_session(session: SessionBase) -> str:
    """The session's permanent name, given on first use."""
    if APP_SESSION not in session:
        session[APP_SESSION] = str(uuid4())
        session.set_expiry(_lifetime())
    name: str = session[APP_SESSION]
    return name


def listed_sessions(user: User) -> list[Any]:
    """Live sessions, the most recently used first."""
    return sorted(UserSession.objects.purge_and_list(user), key=lambda row: row.last_seen_at, reverse=True)


def _lifetime() -> int:
    return int(cast("timedelta", settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]).total_seconds())


def _digest(key: str) -> str:
    """Session keys must not be in the cache."""
    return hashlib.sha256(key.encode()).hexdigest()
