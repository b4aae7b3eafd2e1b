"""Contrastive learning: how f_v came to be. Photos against texts, the two softmaxes and the losses L_X, L_t, L.

The one file that knows open_clip. logits = cosine * e^tau (+ a bias, for models trained with the sigmoid loss), after Radford et al.
2021 ("Learning Transferable Visual Models From Natural Language Supervision").
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from vlm.compat import ensure_torchvision
from vlm.device import placement
from vlm.errors import ImageError, ModelError, QuestionError
from vlm.images import to_rgb
from vlm.patches import grid_boxes
from vlm.records import PatchShares, Similarity
from vlm.store import Progress

ensure_torchvision()

import open_clip  # noqa: E402

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
UNREADABLE = (AttributeError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError)  # raised on damaged checkpoints


def normalised(tokens: Float[Tensor, "... F"], layers: int) -> Float[Tensor, "... F"]:
    """Each of the `layers` equal parts of the last axis with mean 0 and variance 1."""
    parts = tokens.unflatten(-1, (layers, -1))
    return F.layer_norm(parts, parts.shape[-1:]).flatten(-2)


class ClassAndPatches(nn.Module):
    """Image tower whose vector is one linear map of [CLS; mean of the patches], so that it is a sum over CLS and patches.

    CLS and patches are the outputs of some of the trunk's layers (counted from 1), normalised and side by side. open_clip's own timm
    tower pools CLS or patches of the last layer; this stands in its place in a `CustomTextCLIP`.
    """

    def __init__(self, trunk: nn.Module, layers: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.layers = tuple(layers)
        self.proj = nn.Linear(2 * len(self.layers) * trunk.num_features, embed_dim)

    def tokens(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B positions F"]:
        """CLS first."""
        outputs = self.trunk.forward_intermediates(
            image, indices=[layer - 1 for layer in self.layers], return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )  # (patches, CLS) of each layer
        return normalised(torch.cat([torch.cat([prefix, patches], dim=1) for patches, prefix in outputs], dim=-1), len(self.layers))

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B E"]:
        tokens = self.tokens(image)
        return self.proj(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=-1))

    def shares(self, image: Float[Tensor, "1 C H W"]) -> tuple[Float[Tensor, " E"], Float[Tensor, "N E"]]:
        """What CLS (with the bias) and each patch add: `forward` is the first plus the mean of the second."""
        tokens = self.tokens(image)[0]
        class_weight, patch_weight = self.proj.weight.chunk(2, dim=1)
        return F.linear(tokens[0], class_weight, self.proj.bias), F.linear(tokens[1:], patch_weight)


@dataclass(frozen=True)
class ContrastiveModel:
    """A loaded pair of towers with its image transform and tokenizer."""

    name: str
    network: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Callable[[list[str]], Tensor]

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "I E"]:
        """One unit vector a photo.

        Raises:
            ImageError: no photo was given.
        """
        if not images:
            raise ImageError("There is no photo to compare; add at least one.")
        return self.network.encode_image(self._pixels(images), normalize=True)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "T E"]:
        """One unit vector a text; a text beyond the tokenizer's length is cut, as open_clip does.

        Raises:
            QuestionError: no text was given, or one is empty.
        """
        if not texts or not all(text.strip() for text in texts):
            raise QuestionError("There is an empty text among the texts to compare; give at least one, each with a word in it.")
        return self.network.encode_text(self.tokenizer(list(texts)).to(placement().device), normalize=True)

    @torch.inference_mode()
    def similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Similarity:
        """Every photo against every text.

        Raises:
            ImageError, QuestionError: no photo, no text, or an empty text.
        """
        cosine = (self.encode_images(images) @ self.encode_texts(texts).T).float()
        scale = float(self.network.logit_scale.exp())
        bias = float(self.network.logit_bias) if getattr(self.network, "logit_bias", None) is not None else 0.0
        logits = cosine * scale + bias
        losses: tuple[float | None, float | None, float | None] = (None, None, None)
        if len(images) == len(texts):
            pairs = torch.arange(len(texts), device=logits.device)
            loss_image, loss_text = float(F.cross_entropy(logits, pairs)), float(F.cross_entropy(logits.T, pairs))
            losses = (loss_image, loss_text, (loss_image + loss_text) / 2)
        arrays = (tensor.cpu().numpy() for tensor in (cosine, logits, logits.softmax(1), logits.softmax(0)))
        return Similarity(*arrays, scale, bias, *losses)

    @property
    def has_shares(self) -> bool:
        """Whether the image vector is a sum over CLS and patches, so that `patch_shares` exists."""
        return isinstance(self.network.visual, ClassAndPatches)

    @torch.inference_mode()
    def patch_shares(self, image: Image.Image, texts: Sequence[str]) -> PatchShares:
        """Which parts of the photo speak for each text.

        Raises:
            ModelError: this model's image vector is not a sum over patches.
            QuestionError: no text, or an empty one.
        """
        if not self.has_shares:
            raise ModelError(f"The image vector of {self.name!r} is not a sum over patches, so it has no shares; use 'embedded'.")
        pixels = self._pixels([image])
        from_class, from_patches = self.network.visual.shares(pixels)
        text = self.encode_texts(texts).float()
        length = (from_class + from_patches.mean(0)).float().norm()
        class_share = (text @ from_class.float()) / length
        patch_shares = (text @ from_patches.float().T) / length
        rows, columns = (side // self.network.visual.trunk.patch_embed.patch_size[0] for side in pixels.shape[-2:])
        boxes = grid_boxes((0, 0, image.height, image.width), rows, columns)  # the photo is squashed, not cropped
        cosine = class_share + patch_shares.mean(1)
        return PatchShares(cosine.cpu().numpy(), class_share.cpu().numpy(), patch_shares.cpu().numpy(), boxes, rows, columns)

    def _pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "I C H W"]:
        where = placement()
        return torch.stack([self.preprocess(to_rgb(image)) for image in images]).to(where.device, where.dtype)


def load(name: str | Path, pretrained: str | None, progress: Progress | None) -> ContrastiveModel:
    """See `vlm.load_contrastive`."""
    if name == "embedded":
        from vlm import embedded

        return _load_embedded(embedded.contrastive_checkpoint(progress))
    folder = Path(name)
    if str(name) and folder.is_dir():
        missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
        if missing:
            raise ModelError(f"{str(name)!r} is no open_clip checkpoint: {' and '.join(missing)} is missing in it.")
        return _load_open_clip(f"local-dir:{folder}", None)
    tags = open_clip.list_pretrained_tags_by_model(str(name))
    if not tags:
        raise ModelError(f"There is no contrastive model {str(name)!r}; give 'embedded', the folder of an open_clip checkpoint, or an open_clip name like 'ViT-B-32'.")
    if pretrained not in tags:
        raise ModelError(f"For {str(name)!r} say which weights: pretrained is {pretrained!r}, allowed are {', '.join(tags)}.")
    return _load_open_clip(str(name), pretrained)


def _load_open_clip(name: str, pretrained: str | None) -> ContrastiveModel:
    where = placement()
    try:
        network, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=pretrained, weights_only=True)
        tokenizer = open_clip.get_tokenizer(name)
    except UNREADABLE as error:
        raise ModelError(f"The contrastive model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    return ContrastiveModel(name.removeprefix("local-dir:"), network.to(where.device, where.dtype).eval().requires_grad_(False), preprocess, tokenizer)


def _load_embedded(folder: Path) -> ContrastiveModel:
    """open_clip's `CustomTextCLIP` with our pooling in the place of its image tower's."""
    from safetensors.torch import load_file

    where = placement()
    config = json.loads((folder / CONFIG).read_text())
    model_config = config["model_cfg"]
    model_config["text_cfg"]["hf_model_name"] = str(folder)  # config.json of the text tower; its weights come with ours
    network = open_clip.CustomTextCLIP(**model_config)
    trunk = network.visual.trunk
    trunk.set_input_size(img_size=model_config["vision_cfg"]["image_size"])  # the stored position table fits this size
    network.visual = ClassAndPatches(trunk, config["feature_layers"], model_config["embed_dim"])
    network.load_state_dict(load_file(folder / WEIGHTS))
    preprocess_config = open_clip.transform.PreprocessCfg(size=model_config["vision_cfg"]["image_size"], **config["preprocess_cfg"])
    preprocess = open_clip.transform.image_transform_v2(preprocess_config, is_train=False)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return ContrastiveModel("embedded", network.to(where.device, where.dtype).eval().requires_grad_(False), preprocess, tokenizer)
