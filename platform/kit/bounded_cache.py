"""A cache of texts that are expensive to compute, by hash; evicts the least recently used."""

from collections import OrderedDict
from threading import Lock

OVERHEAD = 300  # characters that an entry costs in addition to its text


class BoundedCache:
    """Safe to use from several threads."""

    def __init__(self, *, most_characters: int) -> None:
        self._most, self._held = most_characters, 0
        self._texts: OrderedDict[bytes, str] = OrderedDict()
        self._lock = Lock()

    def get(self, key: bytes) -> str | None:
        with self._lock:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
            return text

    def put(self, key: bytes, text: str) -> None:
        if len(text) > self._most // 10:
            return
        with self._lock:
            before = self._texts.pop(key, None)
            self._held += len(text) + OVERHEAD - (len(before) + OVERHEAD if before is not None else 0)
            self._texts[key] = text
            while self._held > self._most:
                _, gone = self._texts.popitem(last=False)
                self._held -= len(gone) + OVERHEAD
