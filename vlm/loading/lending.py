"""An answer on another device than the one the model was loaded on, in a process that was forked
for it: there the model moves and stays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from vlm.pipeline.model import VisionLanguageModel
from vlm.records.trace import Decoding, Step, Trace


def moved(value: Any, device: str) -> Any:
    """A tensor, or what holds tensors, on the device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: moved(part, device) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(part, device) for part in value)
    return value


def decode_on(
    device: str, model: VisionLanguageModel, trace: Trace, decoding: Decoding
) -> Iterator[Step]:
    """See `vlm.decode_on`."""
    # the threads of the process that this one was forked from are not here: OpenMP would wait for
    # them for ever
    torch.set_num_threads(1)
    model.network.to(device)
    yield from model.decode(
        replace(trace, language_inputs=moved(trace.language_inputs, device)), decoding
    )
