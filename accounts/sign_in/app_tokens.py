"""Gives an app that signs in Switchyard's tokens, which last no longer than the app's session."""

from typing import Any, cast
from uuid import UUID

from allauth.headless.internal.sessionkit import lookup_session
from allauth.headless.tokens.strategies.sessions import SessionTokenStrategy
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from accounts.principals import default_principal
from accounts.sign_in.sessions import name_app_session
from accounts.sign_in.token_families import APP_SESSION
from accounts.sign_in.tokens import issue_tokens, rotate_tokens
from kit.errors import TokenInvalid


class AppTokens(SessionTokenStrategy):
    def create_session_token(self, request: HttpRequest) -> str:
        name_app_session(request.session)
        token: str = super().create_session_token(request)
        return token

    def lookup_session(self, session_token: str) -> SessionBase | None:
        """Only sessions of apps; a browser's cookie gives no access here."""
        session: SessionBase | None = lookup_session(session_token)
        return session if session is not None and APP_SESSION in session else None

    def create_access_token_payload(self, request: HttpRequest) -> dict[str, Any] | None:
        """Tokens for the first workspace that the person joined; None if they are in no workspace."""
        principal = default_principal(user_id=cast("UUID", request.user.pk))
        if principal is None:
            return None
        name = name_app_session(request.session)
        tokens = issue_tokens(principal, app_session=name, family=UUID(name))
        return {"access_token": tokens.pop("access"), "refresh_token": tokens.pop("refresh"), **tokens}

    def refresh_token(self, refresh_token: str) -> tuple[str, str] | None:
        try:
            tokens = rotate_tokens(refresh_token)
        except TokenInvalid:
            return None
        return tokens["access"], tokens["refresh"]
