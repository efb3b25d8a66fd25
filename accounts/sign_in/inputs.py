"""What people send to change their profile, by REST or by a form."""

from dataclasses import dataclass
from typing import Annotated

from accounts.inputs import Name
from accounts.sign_in.profile import LANGUAGES
from kit.fields import Choice


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A field that is left out stays as it is."""

    name: Name | None = None
    reply_language: Annotated[str, Choice(LANGUAGES)] | None = None
