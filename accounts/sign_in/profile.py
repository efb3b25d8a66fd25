"""A person's profile: name and reply language, the same in all their teams."""

from django.conf.locale import LANG_INFO
from django.db import transaction

from accounts.audit import services as audit
from accounts.models import User
from accounts.revocation import end_tokens

CODES = (
    *("ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nb"),
    *("nl", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh-hans", "zh-hant"),
)
NAMED = [(code, str(LANG_INFO[code]["name_local"]).capitalize()) for code in CODES]
LANGUAGES = [("", "Same as the message"), *sorted(NAMED, key=lambda pair: pair[1])]


def language_name(code: str) -> str:
    """In English, for the instructions to a model; empty for no language."""
    return str(LANG_INFO[code]["name"]) if code in CODES else ""


@transaction.atomic
def change_profile(*, user: User, name: str | None = None, reply_language: str | None = None) -> None:
    """None leaves a field as it is."""
    wanted = {"name": name, "reply_language": reply_language}
    changes = audit.change(user, wanted, wanted)
    if changes:
        user.save(update_fields=list(changes))
        audit.record("user.profile_changed", actor_id=user.id, target=user.email, changes=changes)


@transaction.atomic
def end_all_tokens(*, user: User, sessions: int) -> None:
    """For signing out everywhere else."""
    end_tokens(user.id)
    audit.record("user.signed_out_elsewhere", actor_id=user.id, target=user.email, sessions_ended=sessions)
