"""What a value holds in memory: the storages of its arrays, tensors and pictures, each once,
however many records and views share it.
"""

import sys
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from PIL import Image

Storage = tuple[str, int]  # the device, and the address there
# code, which a value does not own
SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
# bytes of one in Pillow's memory; 4 in every other mode
PIXEL = {"L": 1, "P": 1, "1": 1, "I;16": 2}


def storages(value: Any) -> dict[Storage, int]:
    """Bytes of every storage that a value holds, through records, mappings, sequences and objects
    of any class.

    Two values that share an array have that storage in common: the bytes of both are those of the
    union. A view counts as the whole array it looks into, because that is what it keeps alive.
    Objects themselves and words, some hundred bytes each, are not counted.
    """
    found: dict[Storage, int] = {}
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, SHARED):
            continue
        seen.add(id(each))
        if isinstance(each, (bytes, bytearray)):
            found["object", id(each)] = sys.getsizeof(each)
        elif isinstance(each, np.ndarray):
            waiting += _under(each, found)
        elif isinstance(each, Image.Image):
            found["object", id(each.im)] = each.width * each.height * PIXEL.get(each.mode, 4)
        elif _is_tensor(each):
            storage = each.untyped_storage()
            found[str(each.device), storage.data_ptr()] = storage.nbytes()
        else:
            waiting += _parts(each)
    return found


def _under(array: np.ndarray, found: dict[Storage, int]) -> list:
    """The array that owns the memory of this one.

    Or what else owns it, to be looked at, such as the tensor it came from.
    """
    while isinstance(array.base, np.ndarray):
        array = array.base
    if (
        array.base is not None
        and not isinstance(array.base, (bytes, memoryview))
        and _is_tensor(array.base)
    ):
        return [array.base]
    found["cpu", array.__array_interface__["data"][0]] = array.nbytes
    return list(array.flat) if array.dtype == object else []


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # where nobody imported it there are no tensors
    return torch is not None and isinstance(value, torch.Tensor)


def _parts(value: Any) -> Iterable:
    """What a value is made of."""
    if isinstance(value, str):
        return ()
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    return [*vars(value).values()] if hasattr(value, "__dict__") else []
