"""Image towers of contrastive models: one vector a photo, and the photo's patches in the same space
as the sentences.

Knows the inside of open_clip's image towers, and our own. How far the patches explain the vector
differs from tower to tower, and `Looked.exact` says it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vlm.backends.hooks import capture_inputs, capture_outputs


def normalised(tokens: Float[Tensor, "... F"], layers: int) -> Float[Tensor, "... F"]:
    """Each of the `layers` equal parts of the last axis with mean 0 and variance 1."""
    parts = tokens.unflatten(-1, (layers, -1))
    return F.layer_norm(parts, parts.shape[-1:]).flatten(-2)


class ClassAndPatches(nn.Module):
    """Image tower whose vector is one linear map of [CLS; mean of the patches].

    So it is a sum over CLS and patches.

    CLS and patches are the outputs of some of the trunk's layers (counted from 1), normalised and
    side by side. open_clip's own timm tower pools CLS or patches of the last layer; this stands in
    its place in a `CustomTextCLIP`.
    """

    def __init__(self, trunk: nn.Module, layers: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.layers = tuple(layers)
        self.proj = nn.Linear(2 * len(self.layers) * trunk.num_features, embed_dim)

    def tokens(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B positions F"]:
        """CLS first."""
        outputs = self.trunk.forward_intermediates(
            image,
            indices=[layer - 1 for layer in self.layers],
            return_prefix_tokens=True,
            output_fmt="NLC",
            intermediates_only=True,
        )  # (patches, CLS) of each layer
        return normalised(
            torch.cat([torch.cat([prefix, patches], dim=1) for patches, prefix in outputs], dim=-1),
            len(self.layers),
        )

    def pool(self, tokens: Float[Tensor, "B positions F"]) -> Float[Tensor, "B E"]:
        """Pool tokens, B x positions x F, into vectors, B x E."""
        return self.proj(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=-1))

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B E"]:
        """Encode images, B x C x H x W, into vectors, B x E."""
        return self.pool(self.tokens(image))

    def shares(
        self, tokens: Float[Tensor, "B positions F"]
    ) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B N E"]]:
        """What CLS (with the bias) and each patch add: `pool` is the first plus the mean of the
        second.
        """
        class_weight, patch_weight = self.proj.weight.chunk(2, dim=1)
        return F.linear(tokens[:, 0], class_weight, self.proj.bias), F.linear(
            tokens[:, 1:], patch_weight
        )


@dataclass(frozen=True)
class Looked:
    """Photos as an image tower sees them, before any vector is brought to length one.

    Attributes:
        vectors: what the tower gives.
        classes: the share of each vector that is not the patches' (CLS and bias); zero where the
            tower has none.
        patches: each patch in the joint space; None where the tower has no patches.
        corrected: the same with each patch looking only at itself in the last layer; None where
            that is not to be had.
        exact: each vector is its `classes` plus the mean of its `patches`.
    """

    vectors: Float[Tensor, "B E"]
    classes: Float[Tensor, "B E"]
    patches: Float[Tensor, "B N E"] | None
    corrected: Float[Tensor, "B N E"] | None
    exact: bool


def look(tower: nn.Module, pixels: Float[Tensor, "B C H W"]) -> Looked:
    """One pass of the tower; what it gives is what it always gives."""
    if isinstance(tower, ClassAndPatches):
        tokens = tower.tokens(pixels)
        return Looked(tower.pool(tokens), *tower.shares(tokens), None, True)
    if is_clip(tower):
        last = tower.transformer.resblocks[-1]
        with capture_outputs(tower.ln_post) as normed, capture_inputs(last) as entered:
            vectors = pooled(tower(pixels))
        [tokens], [(before, _)] = normed, entered
        itself = tower.ln_post(last(before, attn_mask=alone(before)))
        return Looked(
            vectors,
            torch.zeros_like(vectors),
            (tokens @ tower.proj)[:, 1:],
            (itself @ tower.proj)[:, 1:],
            False,
        )
    trunk = getattr(tower, "trunk", None)
    if not all(
        hasattr(trunk, name) for name in ("norm", "blocks", "num_prefix_tokens", "patch_embed")
    ):
        vectors = pooled(tower(pixels))
        return Looked(vectors, torch.zeros_like(vectors), None, None, False)
    with capture_outputs(trunk.norm) as normed, capture_inputs(trunk.blocks[-1]) as entered:
        vectors = tower(pixels)
    [tokens], [(before, _)] = normed, entered
    itself = trunk.norm(trunk.blocks[-1](before, attn_mask=alone(before)))
    width = vectors.shape[-1]
    return Looked(
        vectors,
        torch.zeros_like(vectors),
        joint(tower, tokens, width),
        joint(tower, itself, width),
        False,
    )


def pooled(output: Tensor | tuple[Tensor, Tensor]) -> Float[Tensor, "B E"]:
    """The vector of each photo; CoCa's tower gives tokens for its decoder beside it."""
    return output[0] if isinstance(output, tuple) else output


def patch_shape(tower: nn.Module) -> tuple[int, int]:
    """Height and width of a patch of this tower in received pixels."""
    if is_clip(tower):
        return tuple(tower.conv1.kernel_size)
    return tuple(tower.trunk.patch_embed.feat_ratio(as_scalar=False))


def alone(tokens: Float[Tensor, "B positions F"]) -> Float[Tensor, "positions positions"]:
    """An attention mask with which every position sees only itself."""
    return torch.full(
        (tokens.shape[1],) * 2, float("-inf"), device=tokens.device, dtype=tokens.dtype
    ).fill_diagonal_(0)


def is_clip(tower: nn.Module) -> bool:
    """open_clip's own vision transformer, whose vector is the projected CLS token of the last layer
    (Radford et al., 2021).
    """
    return (
        type(tower).__name__ == "VisionTransformer"
        and hasattr(tower, "ln_post")
        and tower.attn_pool is None
        and tower.pool_type == "tok"
        and not tower.final_ln_after_pool
    )


def joint(
    tower: nn.Module, tokens: Float[Tensor, "B positions F"], width: int
) -> Float[Tensor, "B N E"] | None:
    """The patches of a timm tower through the map that its pooled vector goes through."""
    patches = tower.head(tokens[:, tower.trunk.num_prefix_tokens :])
    return patches if patches.shape[-1] == width else None
