"""What clients send to change a conversation."""

from dataclasses import dataclass
from typing import Annotated

from django.core.exceptions import ValidationError

from kit.fields import Help, String

LONGEST_TITLE = 200  # characters


@dataclass(frozen=True, kw_only=True)
class ConversationChange:
    title: Annotated[str, String(LONGEST_TITLE)] | None = None
    shared: Annotated[bool, Help("Whether everyone in the workspace can read it")] | None = None

    def __post_init__(self) -> None:
        if self.title is None and self.shared is None:
            raise ValidationError({"title": ["Nothing to change: send title or shared."]})
