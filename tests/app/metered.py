"""A model that says no token before it is let, and counts those it said."""

import threading


class Metered:
    """Wraps a model.

    `allow` lets it say so many tokens more; `said` are those that it began to compute, `ended` is
    set when an answer is over or given up.

    Attributes:
        waits: set while it waits to be let on.
    """

    def __init__(self, model) -> None:
        self.model, self.said = model, 0
        self.ended, self.waits = threading.Event(), threading.Event()
        self._permits = threading.Semaphore(0)

    def __getattr__(self, name):
        return getattr(self.model, name)

    def allow(self, count: int) -> None:
        self.ended.clear(), self.waits.clear()
        self._permits.release(count)

    def hold(self) -> None:
        """From now on no further token."""
        while self._permits.acquire(blocking=False):
            pass

    def decode(self, *arguments):
        steps = self.model.decode(*arguments)
        try:
            while True:
                if not self._permits.acquire(blocking=False):
                    self.waits.set()
                    assert self._permits.acquire(timeout=60)
                self.said += 1
                try:
                    step = next(steps)
                except StopIteration:
                    return
                yield step
        finally:
            self.ended.set()
