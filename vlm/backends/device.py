"""Where the models run and in which number format: chosen once, here."""

import platform
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from vlm.errors import ModelError
from vlm.settings import Settings

VARIABLE, FORMAT_VARIABLE = Settings.name_of("device"), Settings.name_of("dtype")
FORMATS = ("float32", "bfloat16", "float16")
LARGE = 1_000_000_000  # parameters from which half the memory is worth more than float32's digits
ARM = ("aarch64", "arm64")


@dataclass(frozen=True)
class Placement:
    """`device` and `dtype` of every weight and activation."""

    device: torch.device
    dtype: torch.dtype


@cache
def placement() -> Placement:
    """CUDA in bfloat16 (float16 on cards without it), Apple's GPU in float16, else the CPU in
    float32.

    The environment variable `VLM_DEVICE` (`cpu`, `cuda`, `cuda:1`, `mps`) overrides the choice of
    device. float32 on CPUs, because bfloat16 without hardware support is many times slower.

    Raises:
        ModelError: the variable names a device that this torch does not have.
    """
    name = Settings.read().device or (
        "cuda"
        if torch.cuda.is_available()
        else "mps"
        if torch.backends.mps.is_available()
        else "cpu"
    )
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"{VARIABLE} is {name!r}, which this machine's torch cannot use; set it to cpu, cuda or"
            " mps, or unset it."
        ) from error
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # float32 means float32 there, in convolutions too
        return Placement(
            device,
            (
                torch.bfloat16
                if torch.cuda.is_bf16_supported(including_emulation=False)
                else torch.float16
            ),
        )
    return Placement(device, torch.float16 if device.type == "mps" else torch.float32)


def placement_of(parameters: int) -> Placement:
    """`placement`, but in bfloat16 on a CPU that computes in it natively, for models of a billion
    parameters and more.

    Smaller ones stay in float32, so that what is shown agrees with the model's own forward to the
    last digit.

    Raises:
        ModelError: a variable asks for what there is not.
    """
    where = placement()
    return _as_asked(
        replace(where, dtype=torch.bfloat16)
        if where.device.type == "cpu" and parameters >= LARGE and has_fast_bfloat16()
        else where
    )


def exact_placement() -> Placement:
    """`placement` in float32 on every device, for contrastive pairs: a cosine's rounding counts
    e^tau times, a hundred and more, in a logit.

    Raises:
        ModelError: as `placement_of`.
    """
    return _as_asked(replace(placement(), dtype=torch.float32))


def _as_asked(where: Placement) -> Placement:
    """The environment variable `VLM_DTYPE` (`float32`, `bfloat16`, `float16`) overrides the number
    format on every device.
    """
    name = Settings.read().dtype
    if name and name not in FORMATS:
        raise ModelError(
            f"{FORMAT_VARIABLE} is {name!r}; set it to {', '.join(FORMATS)}, or unset it."
        )
    return replace(where, dtype=getattr(torch, name)) if name else where


def has_fast_bfloat16() -> bool:
    """Whether torch finds that this CPU multiplies in bfloat16 (AVX512-BF16, AMX, ARM's BF16), as
    every torch that is allowed can be asked.

    On x86 oneDNN is not asked: it says yes where it only imitates bfloat16.
    """
    if platform.machine().lower() in ARM:
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def to_numpy(tensor: Tensor) -> np.ndarray:
    """float32 (integers as they are) on the CPU."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
