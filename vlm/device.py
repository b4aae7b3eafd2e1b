"""Where the models run and in which number format: chosen once, here."""

import os
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from vlm.errors import ModelError

VARIABLE = "VLM_DEVICE"


@dataclass(frozen=True)
class Placement:
    """`device` and `dtype` of every weight and activation."""

    device: torch.device
    dtype: torch.dtype


@cache
def placement() -> Placement:
    """CUDA in bfloat16 (float16 on cards without it), Apple's GPU in float16, else the CPU in float32.

    The environment variable `VLM_DEVICE` (`cpu`, `cuda`, `cuda:1`, `mps`) overrides the choice of device.
    float32 on CPUs, because bfloat16 without hardware support is many times slower.

    Raises:
        ModelError: the variable names a device that this torch does not have.
    """
    name = os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"{VARIABLE} is {name!r}, which this machine's torch cannot use; set it to cpu, cuda or mps, or unset it.") from error
    if device.type == "cuda":
        return Placement(device, torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16)
    return Placement(device, torch.float16 if device.type == "mps" else torch.float32)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """float32 (integers as they are) on the CPU."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
