"""A provider's streamed reply as events, in any wire format."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Protocol

from gateway.errors import ProviderError
from gateway.providers.base import Finish, ModelEvent, Unread
from gateway.providers.garbled import garbled
from gateway.providers.refusals import hide_secrets
from gateway.providers.soundness import SoundEvents
from gateway.providers.sse import LONGEST_LINE, Frame, FrameParser, FrameTooLong

# Some servers keep the connection open after the end of a reply. Usage may still arrive if it has not.
LAST_FRAMES_SECONDS = 2.0
LATE_USAGE_SECONDS = 5.0


class FrameReader(Protocol):
    """Reads one reply's frames, skipping what it cannot read; ProviderError if they report an error."""

    provider: str
    done: bool  # the reply is complete; the rest is ignored
    unread: int  # frames that were skipped

    @property
    def is_finished(self) -> bool:
        """The finish reason has arrived, so only usage may follow."""

    @property
    def has_usage(self) -> bool: ...

    def read(self, frame: Frame) -> Iterator[ModelEvent]: ...

    def end(self) -> Iterator[ModelEvent]:
        """Everything held back, and the Finish if the reply is complete."""


async def read_events(
    chunks: AsyncGenerator[bytes, None],
    reader: FrameReader,
    *,
    longest_line: int = LONGEST_LINE,
    secrets: Sequence[str] = (),
) -> AsyncGenerator[ModelEvent, None]:
    """The events with valid text, the Finish last; a reply without one broke off. Closes `chunks`.

    After the finish reason, neither a connection that stays open nor one that breaks spoils the reply. A
    frame of more than `longest_line` bytes ends the reply with Unread and a ProviderError. Errors that the
    reply reports are without `secrets`.
    """
    sounds, finish = SoundEvents(), None
    frames = _redacting(_frames(chunks, reader, FrameParser(longest=longest_line)), secrets)
    async with aclosing(frames):
        async for event in frames:
            if isinstance(event, Finish):
                finish = event  # usage may follow it
                continue
            for whole in sounds.add(event):
                yield whole
            if isinstance(event, Unread):
                raise garbled(reader.provider)
    for rest in sounds.end():
        yield rest
    if finish is None:
        raise _incomplete(reader)
    yield finish


async def _redacting(
    events: AsyncGenerator[ModelEvent, None], secrets: Sequence[str]
) -> AsyncGenerator[ModelEvent, None]:
    async with aclosing(events):
        try:
            async for event in events:
                yield event
        except ProviderError as exc:
            hide_secrets(exc, secrets)
            raise


def _incomplete(reader: FrameReader) -> ProviderError:
    if reader.unread:
        return garbled(reader.provider)
    text = "The provider stopped in the middle of the reply."
    return ProviderError(text, provider=reader.provider, provider_status=200)


async def _frames(
    chunks: AsyncGenerator[bytes, None], reader: FrameReader, parser: FrameParser
) -> AsyncGenerator[ModelEvent, None]:
    failure = None
    try:
        async with aclosing(chunks):
            async for chunk in _to_the_end(chunks, reader):
                for event in _read_all(parser.feed(chunk), reader):
                    yield event
                if reader.done:
                    break
    except ProviderError as exc:  # everything that arrived before it is passed on
        failure = exc
    for event in _read_all(parser.end(), reader) if failure is None else ():
        yield event
    for event in reader.end():
        if failure is None or not isinstance(event, Finish):
            yield event
    if failure is not None:
        raise failure


async def _to_the_end(
    chunks: AsyncGenerator[bytes, None], reader: FrameReader
) -> AsyncGenerator[bytes, None]:
    """The chunks, until the connection ends or nothing more is expected."""
    while True:
        try:
            async with asyncio.timeout(_patience(reader)):
                chunk = await anext(chunks, None)
        except TimeoutError:
            return
        except ProviderError:
            if reader.is_finished:
                return
            raise
        if chunk is None:
            return
        yield chunk


def _patience(reader: FrameReader) -> float | None:
    """Seconds to wait for the next chunk; None: as long as the exchange allows."""
    if not reader.is_finished:
        return None
    return LAST_FRAMES_SECONDS if reader.has_usage else LATE_USAGE_SECONDS


def _read_all(frames: Iterable[Frame], reader: FrameReader) -> Iterator[ModelEvent]:
    try:
        for frame in frames:
            yield from reader.read(frame)
            if reader.done:
                return
    except FrameTooLong as exc:
        yield Unread(exc.size)
