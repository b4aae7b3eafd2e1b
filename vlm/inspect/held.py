"""What the instruments of one run share: values that are made once, and together hold no more
bytes than allowed.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from vlm.backends.storages import Storage, storages

HELD = 2 * 2**30  # bytes that an inspector holds at most, unless another bound is given
T = TypeVar("T")


@dataclass(frozen=True)
class Key:
    """What stands for a value of a run.

    Attributes:
        name: what it is, such as "prefill" or "lens table".
        part: which of several, such as the words of the answer that it is about; two answers to one
            prompt have different parts.
        of_photos: whether it depends on the photos alone, whatever is asked about them.
    """

    name: str
    part: tuple = ()
    of_photos: bool = False


@runtime_checkable
class Holder(Protocol):
    """Where an Inspector holds what its instruments share."""

    def get(self, key: Key, make: Callable[[], T]) -> T:
        """Give the value of this key, made if it is not held."""
        ...


@dataclass(frozen=True)
class Kept:
    """A value, and the bytes of every storage it holds."""

    value: Any
    storages: dict[Storage, int]


class Held:
    """Values by their keys, each made once however many threads ask for it.

    What was used least recently goes first when the values hold more than `limit` bytes together,
    an array that several share counted once. A value that is larger alone is given and not held.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()  # the least recently used first

    @property
    def size(self) -> int:
        """Bytes that are held now."""
        with self._lock:
            return self._size()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give the value of this key; who asks while another thread makes it waits for that.

        `make` may ask for other keys, not for its own. What it raises is raised here, and the next
        who asks tries again.
        """
        with self._lock:
            if key in self._kept:
                return self._known(key)
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return self._known(key)
            try:
                value = make()
                found = storages(value)
                with self._lock:
                    self._keep(key, Kept(value, found))
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def _known(self, key: Hashable) -> Any:
        self._kept.move_to_end(key)
        return self._kept[key].value

    def _keep(self, key: Hashable, kept: Kept) -> None:
        if sum(kept.storages.values()) > self.limit:
            return
        self._kept[key] = kept
        while self._size() > self.limit:
            self._kept.popitem(last=False)

    def _size(self) -> int:
        every: dict[Storage, int] = {}
        for kept in self._kept.values():
            every |= kept.storages
        return sum(every.values())
