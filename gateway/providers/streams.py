"""A provider's streamed reply as events, in any wire format."""

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from typing import Protocol

from gateway.errors import ProviderError
from gateway.providers.base import Finish, ModelEvent, Unread
from gateway.providers.garbled import garbled
from gateway.providers.soundness import SoundEvents
from gateway.providers.sse import LONGEST_LINE, Frame, FrameParser, FrameTooLong


class FrameReader(Protocol):
    """Reads one reply's frames; ProviderError if they are invalid or report an error."""

    provider: str
    done: bool  # the reply is complete; the rest is ignored

    def read(self, frame: Frame) -> Iterator[ModelEvent]: ...


async def read_events(
    chunks: AsyncGenerator[bytes, None], reader: FrameReader, *, longest_line: int = LONGEST_LINE
) -> AsyncGenerator[ModelEvent, None]:
    """The events with valid text, the Finish last; a reply without one broke off. Closes `chunks`.

    A frame of more than `longest_line` bytes ends the reply with Unread and a ProviderError.
    """
    parser, sounds, finish = FrameParser(longest=longest_line), SoundEvents(), None
    async with aclosing(chunks):
        async for chunk in chunks:
            for event in _read_all(parser.feed(chunk), reader):
                if isinstance(event, Finish):
                    finish = event  # usage may come after it
                    continue
                for whole in sounds.add(event):
                    yield whole
                if isinstance(event, Unread):
                    raise garbled(reader.provider)
            if reader.done:
                break
    for rest in sounds.end():
        yield rest
    if finish is None:
        raise ProviderError(
            "The provider stopped in the middle of the reply.", provider=reader.provider, provider_status=200
        )
    yield finish


def _read_all(frames: Iterable[Frame], reader: FrameReader) -> Iterator[ModelEvent]:
    try:
        for frame in frames:
            yield from reader.read(frame)
            if reader.done:
                return
    except FrameTooLong as exc:
        yield Unread(exc.size)
