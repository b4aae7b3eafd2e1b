"""How much of what the page's script asks for is computed at once.

The rest waits in line, and holds no thread while it does.

Without this one visitor who asks for forty relevancies would take ten gigabytes, and every thread
that answers others.
"""

import functools
import inspect
from collections.abc import Callable

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

AT_ONCE = {"short": 8, "long": 2}
# one for each event loop, that is, for each page
limiters: dict[str, RunVar[CapacityLimiter]] = {length: RunVar(length) for length in AT_ONCE}


def limit_concurrency(length: str, *handlers: Callable) -> list[Callable]:
    """The same handlers, called as soon as it is their turn among those that take as long.

    Args:
        length: "short", milliseconds and what is already in memory; "long", seconds, or hundreds of
            megabytes.
    """

    def waits(handler: Callable) -> Callable:
        @functools.wraps(handler)
        async def call(arguments):
            limiter = limiters[length].get(None) or CapacityLimiter(AT_ONCE[length])
            limiters[length].set(limiter)
            return await to_thread.run_sync(handler, arguments, limiter=limiter)

        # Gradio gives as many arguments as it finds here: the bound method's, not its function's
        call.__signature__ = inspect.signature(handler)
        return call

    return [waits(handler) for handler in handlers]
