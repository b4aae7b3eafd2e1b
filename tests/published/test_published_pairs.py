"""What "listed" stands on, for contrastive pairs: the settings of name and tag, at tiny width."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import vlm
from tests.published.build_pairs import offered, open_clip
from tests.published.pairs import PAIRS
from tests.tiny import photo
from vlm.backends.device import to_numpy

TEXTS = ["a photo of a cat", "a dog on the grass"]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair.name}/{pair.tag}")
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def both(pair, tmp_path_factory):
    """The pair as the library loads it, and open_clip's own class with the same weights."""
    with offered(pair, tmp_path_factory.mktemp("pair")) as network:
        yield vlm.load_contrastive(f"{pair.name}/{pair.tag}"), network


@pytest.fixture(scope="module")
def contrast(both):
    return both[0]


@pytest.fixture(scope="module")
def prepare(pair):
    """What the record says a photo becomes."""
    return open_clip.transform.image_transform(
        pair.side,
        is_train=False,
        mean=pair.mean,
        std=pair.std,
        interpolation="bilinear" if pair.patch is None else "bicubic",
        resize_mode=pair.resize,
    )


def test_the_record_is_what_open_clip_says(pair):
    config = open_clip.get_model_config(pair.name)
    tag = open_clip.get_pretrained_cfg(pair.name, pair.tag)
    assert config["vision_cfg"]["image_size"] == pair.side
    assert config["vision_cfg"].get("patch_size", pair.patch) == pair.patch
    assert config["text_cfg"]["context_length"] == pair.context
    assert config.get("init_logit_bias") == pair.bias
    assert (tag["resize_mode"], tag["mean"], tag["std"]) == (pair.resize, pair.mean, pair.std)
    assert tag.get("quick_gelu", False) == pair.quick_gelu


def test_similarity_is_that_of_open_clips_own_class_with_the_tags_settings(pair, both, prepare):
    contrast, network = both
    photos = [photo(90, 150), photo(150, 90, seed=1)]
    found = contrast.similarity(photos, TEXTS)
    pixels = torch.stack([prepare(each) for each in photos])
    with torch.inference_mode():
        images = F.normalize(network.encode_image(pixels), dim=-1)
        texts = F.normalize(network.encode_text(contrast.tokenizer(TEXTS)), dim=-1)
        cosine = images @ texts.T
        logits = cosine * network.logit_scale.exp() + (pair.bias or 0.0)
    np.testing.assert_allclose(found.cosine, to_numpy(cosine), atol=2e-6)
    np.testing.assert_allclose(found.logits, to_numpy(logits), atol=1e-4)


def test_the_activation_matters(pair, both):
    """Else the comparison above could not tell QuickGELU from GELU."""
    if pair.patch is None or pair.bias:
        pytest.skip("timm's towers have no such choice")
    contrast, network = both
    kinds = {type(module).__name__ for module in network.modules()}
    assert ("QuickGELU" in kinds) == pair.quick_gelu != ("GELU" in kinds)
    assert {type(module).__name__ for module in contrast.network.modules()} == kinds


@pytest.mark.parametrize("shape", ["square", "wide"])
def test_a_pixel_changes_the_patches_whose_boxes_hold_it(pair, contrast, shape):
    """A photo that keeps its pixels: its side is the tower's, or its shorter side where the longer
    one is cropped.
    """
    if pair.resize == "squash" and shape == "wide":
        pytest.skip("a wide photo is resampled")
    side = pair.side
    image = photo(side, side if shape == "square" else side + 60)
    [before] = contrast.embed_images([image])
    rows, columns = (0, side // 3, side - 1), (0, image.width // 2, image.width - 1)
    pixels = list(product(rows, columns))
    painted = image.copy()
    for row, column in pixels:
        painted.putpixel((column, row), tuple(255 - v for v in image.getpixel((column, row))))
    if before.boxes is None:
        assert pair.patch is None
        return
    if pair.patch is None:  # convolutions look far: boxes tile what is kept
        heights, widths = (before.boxes[:, k + 2] - before.boxes[:, k] for k in (0, 1))
        assert (heights * widths).sum() == pytest.approx(side * side)
        return
    visual = contrast.network.visual
    convolution = visual.trunk.patch_embed.proj if pair.bias else visual.conv1
    made = []
    handle = convolution.register_forward_hook(
        lambda module, given, output: made.append(to_numpy(output[0].flatten(1).T))
    )
    try:
        contrast.embed_images([image])
        contrast.embed_images([painted])
    finally:
        handle.remove()
    changed = (made[0] != made[1]).any(1)
    inside = [
        any(
            box[0] < row + 0.5 < box[2] and box[1] < column + 0.5 < box[3] for row, column in pixels
        )
        for box in before.boxes
    ]
    assert changed.tolist() == inside
