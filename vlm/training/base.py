"""The frozen models that training starts from, taken from the library's own assembly, and where
they run.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch

from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import Placement, has_fast_bfloat16, placement
from vlm.embedded import assembly
from vlm.hub.store import build_once, cache_directory, fetch


def working_place() -> Placement:
    """The library's own placement, in bfloat16 where a CPU computes in it at full speed; elsewhere
    a step in it takes tens of times longer than in float32.

    Float16 is no format to train in.
    """
    place = placement()
    if place.device.type == "cpu" and has_fast_bfloat16():
        return Placement(place.device, torch.bfloat16)
    return Placement(place.device, torch.float32) if place.dtype == torch.float16 else place


def vision(parts: Sequence[Path] | None = None):
    """(Dinov2Model at `working_place`, its image processor).

    With the encoder's deltas in `parts`, or with those that are shipped.
    """
    ensure_torchvision()
    from transformers import Dinov2Model

    model = Dinov2Model(assembly.vision_config())
    # rounded as in the checkpoint that is shown, so that the parts are trained on exactly its
    # features
    state = {
        name: weight.to(torch.bfloat16).float()
        for name, weight in assembly.encoder_state(
            fetch(assembly.VISION), assembly.encoder_parts() if parts is None else parts
        ).items()
    }
    model.load_state_dict(state)
    place = working_place()
    return (
        model.eval().requires_grad_(False).to(place.device, place.dtype),
        assembly.image_processor(),
    )


def language(place: Placement):
    """(SmolLM2 without our deltas, its tokenizer) at `place`."""
    ensure_torchvision()
    model, tokenizer = assembly.language_model(fetch(assembly.LANGUAGE))
    return model.to(place.device, place.dtype), tokenizer


def sentence():
    """(MiniLM in float32, its tokenizer), without our deltas."""
    ensure_torchvision()
    from transformers import AutoModel, AutoTokenizer

    archive = fetch(assembly.SENTENCE)

    def unpack(folder: Path) -> None:
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)

    folder = build_once(cache_directory() / "training-minilm", unpack)
    return AutoModel.from_pretrained(
        folder, add_pooling_layer=False
    ).eval(), AutoTokenizer.from_pretrained(folder)
