"""The same turn consumers for the web: by session cookie, with replies rendered as HTML."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string

from accounts.page_urls import page_url
from accounts.principals import Principal
from accounts.sign_in.web_sessions import check_csrf, principal_of_session, request_of
from gateway.api.event_frames import end_frame, named_frame, sse_frame
from gateway.api.reply_parts import shown_extras
from gateway.api.turn_consumers import EventsConsumer, StopConsumer, TurnConsumer
from gateway.conversations.images import image_data, image_url, with_urls
from gateway.conversations.reply_extras import extras_of
from gateway.engines.events import Replacement, ToolCall
from gateway.errors import AccessEnded
from gateway.providers.base import Extra, ReasoningDelta, TextDelta
from gateway.turns.event_stream import follow_turn, read_turn
from gateway.turns.events import ClosingEvent, NumberedEvent
from gateway.turns.requests import SendRequest
from gateway.turns.services import start_turn
from kit.api import error_headers
from kit.errors import DomainError, InvalidInput, ShuttingDown
from kit.markdown import GrowingText, render_blocks
from kit.tenancy import in_public, in_tenant

DRAW_SECONDS = 0.1  # how often a growing reply is rendered
DRAW_SHARE = 4  # and at most a fifth of the time is spent on rendering one reply
MOST_EXTRAS = 100  # events per reply that the running page shows, since each shows all before it
CODE = 'class="code-block"'
# Rendering may wait for the one child process that highlights code. The loop's own threads, which resolve
# host names, must not.
_DRAWERS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="drawing")


class SessionMixin:
    """Identity by cookie; the URL names tenant and workspace, whose membership is checked."""

    scope: dict[str, Any]
    principal: Principal

    async def identify(self, body: bytes) -> Principal:
        request = request_of(self.scope, body)  # type: ignore[arg-type]  # channels' scope is a plain dict
        try:
            check_csrf(request)
            self.form = request.POST
        except (MultiPartParserError, BadRequest, SuspiciousOperation) as exc:
            raise InvalidInput(body=["The form is not valid."]) from exc
        names = self.scope["url_route"]["kwargs"]
        return await in_public(
            principal_of_session,
            request.COOKIES.get(settings.SESSION_COOKIE_NAME),
            tenant_slug=names["tenant"],
            workspace_slug=names["workspace"],
        )

    def url(self, name: str, **kwargs: Any) -> str:
        return page_url(self.principal, name, **kwargs)


class WebSendConsumer(SessionMixin, TurnConsumer):
    """Answers a script immediately with the URL of the events, a plain form with the page at the end."""

    async def handle(self, body: bytes) -> None:
        by_script = "application/json" in self.header.get("content-type", "")
        send_request = self._send_request(self.json_body(body) if by_script else self._fields())
        turn_id = (await start_turn(self.principal, send_request)).turn_id
        if by_script:
            await self.send_json(202, await self._turn_data(turn_id, send_request))
        else:
            await self._show_page(turn_id)

    def _send_request(self, fields: dict[str, Any]) -> SendRequest:
        return SendRequest.parse(fields, idempotency_key=self.header.get("idempotency-key"))

    def _fields(self) -> dict[str, Any]:
        """The form's fields without empty ones."""
        named = ("message", "model", "conversation_id")
        fields: dict[str, Any] = {name: self.form[name] for name in named if self.form.get(name)}
        return {**fields, "mcps": self.form.getlist("mcps")}

    async def _turn_data(self, turn_id: UUID, send_request: SendRequest) -> dict[str, Any]:
        stored = await in_tenant(self.principal.tenant, read_turn, principal=self.principal, turn_id=turn_id)
        conversation_id = stored.started.conversation_id
        return {
            "conversation_id": conversation_id,
            "turn_id": str(turn_id),
            "conversation_url": self.url("conversation", conversation_id=conversation_id),
            "events_url": turn_url(self.principal, turn_id, "events"),
            "stop_url": turn_url(self.principal, turn_id, "stop"),
            "message_html": await self._message_html(send_request),
        }

    async def _message_html(self, send_request: SendRequest) -> str:
        data = await in_tenant(self.principal.tenant, image_data, list(send_request.images))
        message = {"text": send_request.message or "", "images": with_urls(self.principal, data)}
        return render_to_string("chat/_message.html", {"message": message})

    async def _show_page(self, turn_id: UUID) -> None:
        """Without a script there is no stream: the page is sent when the reply is finished."""
        async for _ in follow_turn(self.principal, turn_id):
            pass
        stored = await in_tenant(self.principal.tenant, read_turn, principal=self.principal, turn_id=turn_id)
        url = self.url("conversation", conversation_id=stored.started.conversation_id)
        await self.send_start(303, {"Location": url})
        await self.send_body(b"")

    async def send_error(self, error: DomainError) -> None:
        if self.started or "application/json" in self.header.get("content-type", ""):
            await super().send_error(error)
            return
        page = render_to_string("refused.html", {"error": error, "request_id": self.origin.request_id})
        headers = {"Content-Type": "text/html; charset=utf-8", **error_headers(error)}
        await self.send_start(error.status, headers)
        await self.send_body(page.encode())


class WebEventsConsumer(SessionMixin, EventsConsumer):
    """Follows a turn from its beginning: the HTML depends on the whole text."""

    async def stream_turn(self, turn_id: UUID, after: int = 0) -> None:
        self.followed_id = turn_id
        batches = follow_turn(self.principal, turn_id)
        await self.send_stream(html_frames(batches, after, partial(image_url, self.principal)))


class WebStopConsumer(SessionMixin, StopConsumer):
    """Stop, by cookie."""


class ReplyHtml:
    """A reply's text and the HTML blocks that the page has of it; a segment ends where a tool is called."""

    def __init__(self, url_of_image: Callable[[UUID], str] = str) -> None:
        self._url_of_image = url_of_image
        self._extras: list[Extra] = []
        self.text = GrowingText()
        self.segment = 0
        self.position = 0
        self.shown: list[str] = []
        self.stale = False
        self.is_plain = False  # whether code may lack its colours, because it was still growing
        self._next_at = 0.0

    def add(self, event: NumberedEvent) -> None:
        self.position = event.id
        if isinstance(event.event, TextDelta):
            self.text.add(event.event.text)
            # A blank text would become an empty block before a tool's card.
            self.stale = self.stale or not self.text.is_blank

    def end_segment(self) -> None:
        if not self.text.is_blank:
            self.text, self.shown, self.segment = GrowingText(), [], self.segment + 1

    def begin_again(self) -> None:
        """The reply so far was withdrawn: the page drops it, and segments are numbered from 0 again."""
        self.text, self.shown, self.segment = GrowingText(), [], 0
        self.stale = self.is_plain = False
        self._extras = []

    def frame_of(self, event: NumberedEvent) -> bytes:
        """Of an event other than text; an `extras` event has all images and sources so far. May be empty."""
        if not isinstance(event.event, Extra):
            return sse_frame(event)
        if len(self._extras) >= MOST_EXTRAS:
            return b""
        self._extras.append(event.event)
        shown = shown_extras(extras_of(self._extras), self._url_of_image)
        html = render_to_string("chat/_extras.html", {"extras": shown}) if shown else ""
        return named_frame(event.id, "extras", {"html": html}) if html else b""

    @property
    def wait(self) -> float | None:
        """Seconds until the text should be rendered; None if nothing is new."""
        return max(0.0, self._next_at - time.monotonic()) if self.stale else None

    async def render(self, *, is_whole: bool = False) -> bytes:
        """An `html` event with the blocks from the first changed one on; `is_whole`: with all colours."""
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
        data = {"segment": self.segment, "from": same, "blocks": blocks[same:]}
        return named_frame(self.position, "html", data)


async def html_frames(
    batches: AsyncIterator[list[NumberedEvent]], after: int, url_of_image: Callable[[UUID], str] = str
) -> AsyncIterator[bytes]:
    """The turn's events with its text as HTML; those up to the id `after` are not sent again.

    Closing events are always sent: their ids may be before what a client saw last.
    """
    reply = ReplyHtml(url_of_image)
    pending = asyncio.ensure_future(anext(batches, None))
    try:
        while True:
            await asyncio.wait({pending}, timeout=reply.wait)
            if not pending.done():
                yield await reply.render()
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
                if isinstance(event.event, TextDelta | ReasoningDelta):
                    reply.add(event)
                    continue
                if isinstance(event.event, Replacement):
                    reply.begin_again()
                if reply.stale or reply.is_plain:
                    yield await reply.render(is_whole=True)
                if isinstance(event.event, ToolCall):
                    reply.end_segment()
                frame = reply.frame_of(event)
                if frame and (event.id > after or isinstance(event.event, ClosingEvent)):
                    yield frame
            if reply.wait == 0:
                yield await reply.render()
    finally:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)


def _without_withdrawn(batch: list[NumberedEvent], after: int) -> list[NumberedEvent]:
    """Drops what a Replacement withdrew that the page has already: it would appear in the new reply."""
    known = (
        index
        for index, event in enumerate(batch)
        if isinstance(event.event, Replacement) and event.id <= after
    )
    return batch[max(known, default=0) :]


def turn_url(principal: Principal, turn_id: UUID | str, action: str) -> str:
    """The URL of `events` or `stop` for the web; consumers have no name to reverse."""
    return f"/t/{principal.tenant.slug}/w/{principal.workspace.slug}/turns/{turn_id}/{action}"
