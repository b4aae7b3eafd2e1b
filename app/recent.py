"""What was computed before and may be asked for again: caches that together hold no more bytes than
the operator allows.

Records share their arrays (the answer to a photo is its trace, which is its sight), so one budget
is kept for all caches, and a storage counts once however many values hold it. What was used least
recently, in whichever cache, goes first.
"""

import itertools
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import vlm

from .settings import Settings

VARIABLE = Settings.name_of("keep")

T = TypeVar("T")


def allowed(settings: Settings) -> int:
    """Bytes that the operator lets all caches together hold.

    Raises:
        vlm.VLMError: the variable is no number of gigabytes.
    """
    said = settings.keep
    try:
        gigabytes = float(said)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e6:
        raise vlm.VLMError(
            f"{VARIABLE} is {said!r}; give the gigabytes that may be kept of earlier runs, for"
            f" example {Settings().keep}."
        )
    return int(gigabytes * 1e9)


@dataclass(frozen=True)
class Kept(Generic[T]):
    """A value in a cache: what it holds, and when it was last used."""

    value: T
    storages: dict
    used: int


class Budget:
    """How many bytes some caches may hold together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = threading.RLock()
        self.held = 0  # bytes now, each storage once
        self.clock = itertools.count()
        self._caches: "weakref.WeakSet[Recent]" = weakref.WeakSet()
        self._holders: Counter = Counter()  # of every storage: how many values

    def join(self, cache: "Recent") -> None:
        """Count what a cache holds among the bytes of this budget."""
        with self.lock:
            self._caches.add(cache)

    def take(self, storages: dict) -> None:
        """Count the bytes of a value's storages, each once however many values share it."""
        for storage, size in storages.items():
            self.held += 0 if self._holders[storage] else size
            self._holders[storage] += 1

    def give_back(self, storages: dict) -> None:
        """Discount the bytes of a value's storages that no other value holds."""
        for storage, size in storages.items():
            self._holders[storage] -= 1
            if not self._holders[storage]:
                del self._holders[storage]
                self.held -= size

    def keep_within(self) -> None:
        """Let go of what was used least recently until the rest is small enough."""
        while self.held > self.limit:
            min(
                (cache for cache in self._caches if len(cache)), key=lambda cache: cache.oldest
            ).drop_oldest()

    def forget(self, tag: str) -> None:
        """Let go of what the model with this tag computed and what lies where it did; an empty tag
        is every model.
        """
        for cache in list(self._caches):
            cache.clear(lambda key, cache=cache: cache.heavy(key) and tag in str(key))


class Recent(Generic[T]):
    """The last values by key: what has not changed is not computed again.

    Args:
        budget: the bytes that this cache shares with others.
        size: how many at most, whatever they weigh.
        heavy: under which keys values lie where a model computes; they are let go with their model,
            whose tag is in those keys.
    """

    def __init__(
        self,
        budget: Budget,
        size: int = 512,
        heavy: Callable[[Any], bool] = lambda key: False,
    ) -> None:
        self._size = size
        self._budget = budget
        self.heavy = heavy
        # the least recently used first
        self._values: OrderedDict[Hashable, Kept[T]] = OrderedDict()
        self._budget.join(self)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def keys(self) -> list[Any]:
        """The keys of all values, the least recently used first."""
        with self._budget.lock:
            return list(self._values)

    def clear(self, which: Callable[[Any], bool] = lambda key: True) -> None:
        """Let go of the values under some keys, or under all."""
        with self._budget.lock:
            for key in [key for key in self._values if which(key)]:
                self._drop(key)

    def known(self, key: Hashable) -> T | None:
        """The value if it is kept."""
        with self._budget.lock:
            if key not in self._values:
                return None
            kept = self._values[key] = Kept(
                self._values[key].value, self._values[key].storages, next(self._budget.clock)
            )
            self._values.move_to_end(key)
            return kept.value

    def many(
        self, keys: Sequence[Hashable], make: Callable[[list[Hashable]], Sequence[T]]
    ) -> list[T]:
        """A value for every key; those that are not kept are made together."""
        with self._budget.lock:
            found = {key: self.known(key) for key in keys if key in self._values}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            found |= dict(zip(missing, make(missing), strict=True))
        return [self.get(key, lambda key=key: found[key]) for key in keys]

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value, made if it is not kept.

        One that weighs more than all caches may hold is not kept.
        """
        with self._budget.lock:
            if key in self._values:
                return self.known(key)
        value = make()
        storages = vlm.storages(value)
        with self._budget.lock:
            if key in self._values:
                self._drop(key)
            if sum(storages.values()) <= self._budget.limit:
                self._values[key] = Kept(value, storages, next(self._budget.clock))
                self._budget.take(storages)
                while len(self._values) > self._size:
                    self.drop_oldest()
                self._budget.keep_within()
        return value

    @property
    def oldest(self) -> int:
        """When the value that was used least recently was used."""
        return next(iter(self._values.values())).used

    def drop_oldest(self) -> None:
        """Let go of the value that was used least recently."""
        self._drop(next(iter(self._values)))

    def _drop(self, key: Hashable) -> None:
        self._budget.give_back(self._values.pop(key).storages)
