"""Tiny contrastive pairs with published settings: open_clip's own configuration of the name and the
tag, few narrow layers, and weights at hand instead of a download.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.published.records import PublishedPair
from tests.published.words import siglip_tokenizer
from vlm.backends.compat import ensure_torchvision

ensure_torchvision()

import open_clip
import timm
import torch
from safetensors.torch import save_file

WIDTH = 32
SMALL_TIMM = {
    "vit": dict(embed_dim=WIDTH, depth=2, num_heads=2),
    "fastvit": dict(layers=(1, 1, 1, 1), embed_dims=(8, 16, 16, WIDTH)),
}


def shrink(pair: PublishedPair, folder: Path) -> dict:
    """open_clip's configuration of the name, with few narrow layers and a tokenizer of its kind."""
    config = open_clip.get_model_config(pair.name)
    config["embed_dim"] = WIDTH
    config["text_cfg"] |= dict(width=WIDTH, heads=2, layers=2)
    if "timm_model_name" not in config["vision_cfg"]:
        config["vision_cfg"] |= dict(width=64, head_width=32, layers=2)
    if pair.tokenizer != "clip":
        tokenizer = siglip_tokenizer(pair.tokenizer)
        tokenizer.save_pretrained(folder)
        config["text_cfg"] |= dict(hf_tokenizer_name=str(folder), vocab_size=len(tokenizer))
    return config


def make_network(pair: PublishedPair, config: dict) -> torch.nn.Module:
    """open_clip's own class for this configuration, with the activation that the record names."""
    config = {name: value for name, value in config.items() if name != "custom_text"}
    kind = open_clip.CustomTextCLIP if pair.bias or pair.patch is None else open_clip.CLIP
    torch.manual_seed(0)
    return kind(**config | {"quick_gelu": pair.quick_gelu}).eval()


@contextmanager
def offered(pair: PublishedPair, folder: Path) -> Iterator[torch.nn.Module]:
    """While it lasts, open_clip knows this name as its tiny version and downloads these weights;
    gives the network that they are of.
    """
    create = timm.create_model

    def create_small(name: str, **named):
        return create(name, **named, **SMALL_TIMM[name.partition("_")[0]])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip.timm_model.timm, "create_model", create_small)
        config = shrink(pair, folder)
        network = make_network(pair, config)
        weights = folder / "weights.safetensors"
        save_file({name: value.clone() for name, value in network.state_dict().items()}, weights)
        patch.setitem(open_clip.factory._MODEL_CONFIGS, pair.name, config)
        patch.setattr(
            open_clip.factory, "download_pretrained", partial(_weights_at_hand, str(weights))
        )
        yield network


def _weights_at_hand(path: str, *given, **named) -> str:
    return path
