"""A loaded model with another attention than the one that can be recorded, for a while: what
transformers' own explicit one gives.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlm.pipeline.model import VisionLanguageModel


@contextmanager
def attending(model: "VisionLanguageModel", implementation: str = "eager") -> Iterator[None]:
    """The usual attention comes back, also after an error."""
    usual = model.network.config._attn_implementation
    model.network.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.network.set_attn_implementation(usual)
