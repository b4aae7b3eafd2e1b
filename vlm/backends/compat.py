"""Make `import torchvision` work beside a torch that its C++ extension was not built for.

PyPI's torchvision is built for CUDA. Beside a CPU-only torch its extension cannot load, and then
its import fails, because two operators have no schema. transformers, open_clip and timm need only
torchvision's Python transforms, so the two schemas suffice (pytorch/pytorch#157648). Call
`ensure_torchvision()` before the first import of any of them.
"""

import sys
from functools import cache
from typing import Literal

_LIBRARIES = []  # torch unregisters an operator library when it is collected


@cache
def ensure_torchvision() -> Literal["native", "shim"]:
    """Import torchvision, with schemas for `nms` and `qnms` if its own extension does not load;
    says which it was.
    """
    import torch

    try:
        import torchvision

        return "native"
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    _LIBRARIES.append(library)
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401  loads now, with the operators defined

    return "shim"
