"""What passes through a module while it runs: hooks that hear their own thread only and are gone
afterwards.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def capture_outputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module gives in this thread, call by call."""
    seen, thread = [], threading.get_ident()
    handle = module.register_forward_hook(
        lambda module, inputs, output: (
            seen.append(output) if threading.get_ident() == thread else None
        )
    )
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def capture_inputs(
    module: nn.Module, clock: Callable[[], float] = lambda: 0.0
) -> Iterator[list[tuple[Tensor, float]]]:
    """What the module is given first in this thread, and when, call by call."""
    seen, thread = [], threading.get_ident()

    def hear(module: nn.Module, inputs: tuple, named: dict) -> None:
        if threading.get_ident() == thread:
            seen.append((next(iter((*inputs, *named.values()))), clock()))

    handle = module.register_forward_pre_hook(hear, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def capture_outputs_in_order(
    modules: Iterable[nn.Module],
) -> Iterator[list[tuple[nn.Module, object, object]]]:
    """Which of these modules end in this thread, one after the other, with what each was given
    first and what it gave.
    """
    passed, thread = [], threading.get_ident()

    def hear(module: nn.Module, inputs: tuple, named: dict, output: object) -> None:
        if threading.get_ident() == thread:
            passed.append((module, next(iter((*inputs, *named.values())), None), output))

    handles = [module.register_forward_hook(hear, with_kwargs=True) for module in modules]
    try:
        yield passed
    finally:
        for handle in handles:
            handle.remove()
