"""What is at work when a model answers: the model itself, its revision, and the packages."""

import sys
from importlib import metadata
from typing import TYPE_CHECKING

import torch

from vlm.backends import architecture

if TYPE_CHECKING:
    from vlm.pipeline.model import VisionLanguageModel

PACKAGES = ("torch", "transformers", "open_clip_torch", "gradio")


def versions(model: "VisionLanguageModel") -> dict[str, str]:
    """What is at work: the model, its revision and family, where and in which number format it
    runs, and the packages.
    """
    found = {
        "model": str(model.name),
        "revision": revision(model),
        "family": architecture.family(model.network).name,
        "device": str(model.network.device),
        "number format": str(model.network.dtype).removeprefix("torch."),
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    # torch itself says for which device it was built
    return found | {"torch": torch.__version__, "Python": sys.version.split()[0]}


def revision(model: "VisionLanguageModel") -> str:
    """The commit of a model of the hub, the hash of the embedded model's parts.

    "unknown" for a folder.
    """
    if model.name == "embedded":
        from vlm.embedded.assembly import RECIPE
        from vlm.embedded.parts import parts_version

        return f"recipe {RECIPE}, parts {parts_version('vlm')[:12]}"
    return str(getattr(model.network.config, "_commit_hash", None) or "unknown")
