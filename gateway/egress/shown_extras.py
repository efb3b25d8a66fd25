"""Sources and images of an answer, which engines drop: stored with the turn for its reply."""

import structlog
from django.db import DatabaseError
from django.db.models import F, Func, JSONField, Value

from gateway.calls.metered import MeteredEvent
from gateway.conversations.reply_images import ReplyImages
from gateway.egress.turn_lookup import RoutedTurn
from gateway.engines.direct.engine import SHOWN
from gateway.models import Turn
from gateway.providers.base import Extra, JsonObject
from kit.tenancy import in_tenant

log = structlog.get_logger(__name__)
MOST_NOTED = 200  # per answer


class ShownExtras:
    """Collects those of one answer."""

    def __init__(self) -> None:
        self._extras: list[Extra] = []

    def take_in(self, event: MeteredEvent) -> None:
        if isinstance(event, Extra) and (event.place, event.name) in SHOWN and len(self._extras) < MOST_NOTED:
            self._extras.append(event)

    async def note(self, turn: RoutedTurn) -> None:
        """The images are stored first. The engine gets its response even if this fails."""
        if not self._extras or turn.conversation_id is None:
            return
        caller = turn.caller
        images = ReplyImages(turn.tenant, turn.conversation_id, caller.workspace_id, caller.user_id)
        stored = [(await images.store(extra))[0] for extra in self._extras]
        entries = [{"place": extra.place, "name": extra.name, "value": extra.value} for extra in stored]
        try:
            await in_tenant(turn.tenant, _note, turn, entries)
        except DatabaseError as exc:
            log.warning("extras were not noted", turn_id=str(turn.turn_id), error=type(exc).__name__)


def _note(turn: RoutedTurn, entries: list[JsonObject]) -> None:
    added = Func(
        F("extras"),
        Value(entries, output_field=JSONField()),
        template="%(expressions)s",
        arg_joiner=" || ",
        output_field=JSONField(),
    )
    Turn.objects.filter(id=turn.turn_id).update(extras=added)
