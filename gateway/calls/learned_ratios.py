"""The ratio of each model's own prompt counts to our estimates, learned from its latest exact calls."""

import threading
from collections import OrderedDict, deque

from workspaces.language_models.queries import ModelRef

RECENT = 32  # exact calls per model
MOST_MODELS = 1024  # then the least recently used is dropped

Key = tuple[str, str, str]


class LearnedRatios:
    """The highest ratio among the recent exact calls of each model at its base URL, in this process.

    A byte-level model counts several times as many tokens as common tokenizers; after its first exact calls
    its estimates are raised accordingly. Thread-safe, since tests and workers have several loops.
    """

    def __init__(self, *, recent: int = RECENT, most_models: int = MOST_MODELS) -> None:
        self._recent, self._most_models = recent, most_models
        self._lock = threading.Lock()
        self._ratios: OrderedDict[Key, deque[float]] = OrderedDict()

    def learn(self, model: ModelRef, *, counted: int, estimated: int) -> None:
        """Stores an exact call: the provider's count of its prompt and our estimate, both in tokens."""
        if estimated <= 0:
            return
        key = _key(model)
        with self._lock:
            self._ratios.setdefault(key, deque(maxlen=self._recent)).append(counted / estimated)
            self._ratios.move_to_end(key)
            if len(self._ratios) > self._most_models:
                self._ratios.popitem(last=False)

    def ratio_of(self, model: ModelRef) -> float:
        """The factor for an estimate, at least 1."""
        with self._lock:
            ratios = self._ratios.get(_key(model))
            return max(1.0, *ratios) if ratios else 1.0

    def forget(self) -> None:
        with self._lock:
            self._ratios.clear()

    def __len__(self) -> int:
        return len(self._ratios)


def _key(model: ModelRef) -> Key:
    return model.provider, model.endpoint.base_url if model.endpoint else "", model.upstream_name


_learned = LearnedRatios()


def learned_ratios() -> LearnedRatios:
    """The instance of this process."""
    return _learned


def forget_ratios() -> None:
    """Resets the ratios between tests, which share a process."""
    _learned.forget()
