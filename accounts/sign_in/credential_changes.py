"""What follows when somebody signs in differently from now on: an audit line, and what was open ends."""

from typing import Any

from allauth.core import context
from allauth.usersessions.models import UserSession

from accounts.audit import services as audit
from accounts.models import User
from accounts.revocation import end_tokens


def credentials_changed(user: User, *, what: str, **details: Any) -> None:
    """Called once after each change of password, address, second step, passkey or connection of `user`.

    Also when they sign out everywhere. `what` is the audit's action, as in user.password_changed. Whatever
    else was opened with the old credentials and has to end ends here.
    """
    ended = end_other_sessions(user)
    end_tokens(user.pk)
    audit.record(what, actor_id=user.pk, target=user.email, sessions_ended=ended, **details)


def end_other_sessions(user: User) -> int:
    """Signs `user` out everywhere but where this request comes from; how many sessions that ended."""
    others = list(UserSession.objects.filter(user_id=user.pk).exclude(session_key=_current_key()))
    for session in others:
        session.end()
    return len(others)


def _current_key() -> str:
    """Empty outside of a request, as in a command."""
    session = getattr(context.request, "session", None)
    return (session.session_key if session is not None else None) or ""
