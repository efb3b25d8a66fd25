"""The web's side of a turn: the same consumers by session cookie, with replies drawn as HTML."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string

from accounts.page_urls import place_url
from accounts.principals import Principal
from accounts.sign_in.web_sessions import check_csrf, principal_of_session, request_of
from gateway.api.turn_consumers import (
    EventsConsumer,
    StopConsumer,
    TurnConsumer,
    end_frame,
    sse_frame,
    start_turn,
)
from gateway.conversations.images import images_told, shown_images
from gateway.errors import AccessEnded
from gateway.turns.background import ensure_started
from gateway.turns.event_stream import follow_turn, read_turn
from gateway.turns.requests import SendRequest
from gateway.turns.transcript import REPLACE, NumberedEvent
from kit.api import error_headers
from kit.errors import DomainError, InvalidInput, ShuttingDown
from kit.markdown import GrowingText, render_blocks
from kit.tenancy import in_public, in_tenant

DRAW_SECONDS = 0.1  # how often a growing reply is drawn anew
DRAW_SHARE = 4  # and never more than a fifth of the time is spent on drawing one reply
ENDING = {"error", "usage", "done"}  # told to whoever comes: their ids may lie before what a client saw last
CODE = 'class="code-block"'
OWN_EVENTS = {"delta", "reasoning"}  # what the page gets as HTML instead, or not at all
# Drawing may wait for the one child that colours code: the loop's own threads, which look up names, never do.
_DRAWERS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="drawing")


class SessionMixin:
    """Identity by cookie: the address names tenant and workspace, the membership is checked there."""

    scope: dict[str, Any]
    principal: Principal

    async def identify(self, body: bytes) -> Principal:
        request = request_of(self.scope, body)  # type: ignore[arg-type]  # channels' scope is a plain dict
        try:
            check_csrf(request)
            self.form = request.POST
        except (MultiPartParserError, BadRequest, SuspiciousOperation) as exc:
            raise InvalidInput(body=["The form is not valid."]) from exc
        place = self.scope["url_route"]["kwargs"]
        return await in_public(
            principal_of_session,
            request.COOKIES.get(settings.SESSION_COOKIE_NAME),
            tenant_slug=place["tenant"],
            workspace_slug=place["workspace"],
        )

    def address(self, name: str, **kwargs: Any) -> str:
        return place_url(self.principal, name, **kwargs)


class WebSendConsumer(SessionMixin, TurnConsumer):
    """Answers a script at once with where to follow the turn, a plain form with the page at its end."""

    async def handle(self, body: bytes) -> None:
        ensure_started()
        by_script = "application/json" in self.header.get("content-type", "")
        wish = self._wish(self.json_body(body) if by_script else self._fields())
        turn_id = (await start_turn(self.principal, wish)).turn_id
        if by_script:
            await self.send_json(202, await self._told(turn_id, wish))
        else:
            await self._show_page(turn_id)

    def _wish(self, fields: dict[str, Any]) -> SendRequest:
        return SendRequest.parse(fields, idempotency_key=self.header.get("idempotency-key"))

    def _fields(self) -> dict[str, Any]:
        """A form's fields, without the empty ones."""
        named = ("message", "model", "conversation_id")
        fields: dict[str, Any] = {name: self.form[name] for name in named if self.form.get(name)}
        return {**fields, "mcps": self.form.getlist("mcps")}

    async def _told(self, turn_id: UUID, wish: SendRequest) -> dict[str, Any]:
        stored = await in_tenant(self.principal.tenant, read_turn, principal=self.principal, turn_id=turn_id)
        conversation_id = stored.transcript.started["conversation_id"]
        return {
            "conversation_id": conversation_id,
            "turn_id": str(turn_id),
            "conversation_url": self.address("conversation", conversation_id=conversation_id),
            "events_url": turn_address(self.principal, turn_id, "events"),
            "stop_url": turn_address(self.principal, turn_id, "stop"),
            "message_html": await self._message(wish),
        }

    async def _message(self, wish: SendRequest) -> str:
        told = await in_tenant(self.principal.tenant, images_told, list(wish.images))
        images = shown_images(self.principal, told)
        return render_to_string(
            "chat/_message.html", {"message": {"text": wish.message or "", "images": images}}
        )

    async def _show_page(self, turn_id: UUID) -> None:
        """Without a script there is no stream: the page comes when the reply is finished."""
        events = [event async for batch in follow_turn(self.principal, turn_id) for event in batch]
        where = self.address("conversation", conversation_id=events[0].data["conversation_id"])
        await self._start(303, {"Location": where})
        await self.send_body(b"")

    async def send_error(self, error: DomainError) -> None:
        if self.started or "application/json" in self.header.get("content-type", ""):
            await super().send_error(error)
            return
        page = render_to_string("refused.html", {"error": error, "request_id": self.origin.request_id})
        headers = {"Content-Type": "text/html; charset=utf-8", **error_headers(error)}
        await self._start(error.status, headers)
        await self.send_body(page.encode())


class WebEventsConsumer(SessionMixin, EventsConsumer):
    """Follows a turn from its beginning: what is drawn depends on the whole text."""

    async def stream_turn(self, turn_id: UUID, after: int = 0) -> None:
        self.followed_id = turn_id
        await self.send_stream(drawn_frames(follow_turn(self.principal, turn_id), after))


class WebStopConsumer(SessionMixin, StopConsumer):
    """Stop, by cookie."""


class Drawing:
    """A reply's text and the blocks that the page shows of it; a segment ends where a tool is called."""

    def __init__(self) -> None:
        self.text = GrowingText()
        self.segment = 0
        self.position = 0
        self.shown: list[str] = []
        self.stale = False
        self.is_plain = False  # whether code may be shown without colours, since it was still growing
        self._next_at = 0.0

    def add(self, event: NumberedEvent) -> None:
        self.position = event.id
        if event.type == "delta":
            self.text.add(event.data["text"])
            # An empty text would stand before a tool's card.
            self.stale = self.stale or not self.text.is_blank

    def end_segment(self) -> None:
        if not self.text.is_blank:
            self.text, self.shown, self.segment = GrowingText(), [], self.segment + 1

    def begin_again(self) -> None:
        """The reply so far was withdrawn: the page drops it, and the segments are counted from the first."""
        self.text, self.shown, self.segment = GrowingText(), [], 0
        self.stale = self.is_plain = False

    @property
    def wait(self) -> float | None:
        """Seconds until the text should be drawn; None when there is nothing new."""
        return max(0.0, self._next_at - time.monotonic()) if self.stale else None

    async def draw(self, *, is_whole: bool = False) -> bytes:
        """An `html` event with the blocks from the first changed one on; the last time with all colours."""
        begun, loop = time.monotonic(), asyncio.get_running_loop()
        if is_whole:
            blocks = await loop.run_in_executor(_DRAWERS, render_blocks, self.text.text)
        else:
            blocks = await loop.run_in_executor(_DRAWERS, self.text.blocks)
        self.is_plain = not is_whole and CODE in "".join(blocks[-1:])
        spent = time.monotonic() - begun
        self._next_at = time.monotonic() + max(DRAW_SECONDS, spent * DRAW_SHARE)
        self.stale = False
        pairs = zip(self.shown, blocks, strict=False)
        same = next(
            (at for at, (old, new) in enumerate(pairs) if old != new), min(len(self.shown), len(blocks))
        )
        self.shown = blocks
        told = {"segment": self.segment, "from": same, "blocks": blocks[same:]}
        return sse_frame(NumberedEvent(self.position, "html", told))


async def drawn_frames(batches: AsyncIterator[list[NumberedEvent]], after: int) -> AsyncIterator[bytes]:
    """The turn's events with its text drawn as HTML; those up to the id `after` are not told again."""
    drawing = Drawing()
    pending = asyncio.ensure_future(anext(batches, None))
    try:
        while True:
            await asyncio.wait({pending}, timeout=drawing.wait)
            if not pending.done():
                yield await drawing.draw()
                continue
            try:
                batch = pending.result()
            except (AccessEnded, ShuttingDown) as ended:
                yield end_frame(ended)
                return
            if batch is None:
                return
            pending = asyncio.ensure_future(anext(batches, None))
            for event in _without_withdrawn(batch, after):
                if event.type in OWN_EVENTS:
                    drawing.add(event)
                    continue
                if event.type == REPLACE:
                    drawing.begin_again()
                if drawing.stale or drawing.is_plain:
                    yield await drawing.draw(is_whole=True)
                if event.type == "tool_call":
                    drawing.end_segment()
                if event.id > after or event.type in ENDING:
                    yield sse_frame(event)
            if drawing.wait == 0:
                yield await drawing.draw()
    finally:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)


def _without_withdrawn(batch: list[NumberedEvent], after: int) -> list[NumberedEvent]:
    """Not what a `replace` withdrew that the page knows already: it would be drawn into the new reply."""
    known = (at for at, event in enumerate(batch) if event.type == REPLACE and event.id <= after)
    return batch[max(known, default=0) :]


def turn_address(principal: Principal, turn_id: UUID | str, what: str) -> str:
    """Where the web follows or stops a turn; consumers have no name to reverse."""
    return f"/t/{principal.tenant.slug}/w/{principal.workspace.slug}/turns/{turn_id}/{what}"
