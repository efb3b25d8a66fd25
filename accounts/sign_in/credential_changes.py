"""The effects of changed credentials: an audit entry, and the end of other sessions and all tokens."""

from typing import Any

from allauth.core import context
from allauth.usersessions.models import UserSession

from accounts.audit import services as audit
from accounts.models import User
from accounts.revocation import end_tokens


def credentials_changed(user: User, *, action: str, **details: Any) -> None:
    """Called once after each change of the user's password, address, factors or connections.

    `action` is the audit's, as in user.password_changed. Everything opened with the old credentials ends.
    """
    ended = end_other_sessions(user)
    end_tokens(user.pk)
    audit.record(action, actor_id=user.pk, target=user.email, sessions_ended=ended, **details)


def end_other_sessions(user: User) -> int:
    """Ends all sessions of the user except this request's; returns their number."""
    others = list(UserSession.objects.filter(user_id=user.pk).exclude(session_key=_current_key()))
    for session in others:
        session.end()
    return len(others)


def _current_key() -> str:
    """Empty outside a request, as in a command."""
    session = getattr(context.request, "session", None)
    return (session.session_key if session is not None else None) or ""
