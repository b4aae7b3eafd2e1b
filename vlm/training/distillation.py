"""The stage before the others: f_v learns from a teacher that knows a thousand classes.

Teacher and student see the same view of a photo. Through small heads that are thrown away the
student's [CLS; mean of the patches] learns the teacher's pooled features, its softened class
probabilities and its vector in the sentence tower's space; every patch learns the teacher's last
feature map at its place. Without heads the summaries of a batch learn which photos are alike, as
the teacher's pooled features and probabilities say. A last term keeps the patches' mutual cosines
near those of the encoder as it was, which is what groups things in PCA-RGB.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from vlm.backends.towers import normalised
from vlm.embedded.assembly import FEATURE_LAYERS, IMAGE_MEAN, IMAGE_SIDE, IMAGE_STD
from vlm.training.adapters import add_adapters, trained
from vlm.training.teacher import SIDE, Targets, Teacher, compute_conse
from vlm.training.views import Views, render_views

WEIGHTS = {
    "pooled": 1.0,
    "classes": 0.5,
    "text": 1.0,
    "neighbours": 0.5,
    "places": 0.5,
    "grouping": 2.0,
}
NEAR = 0.1  # cosines are divided by it where photos of a batch are ranked by likeness


@dataclass(frozen=True)
class Settings:
    """What decides a run.

    Attributes:
        batch: photos a step.
        rank: of the deltas.
        read: layers whose output the heads read, each with heads of its own.
        patch_share: share of the patches that the student sees of a view.
        directions: principal directions of the teacher's feature map that the patches learn.
        temperature: of the softened class probabilities.
        weights: of the terms of the loss.
        grouping_share: share of a batch whose patches' mutual cosines are compared with the old
            encoder's.
        heads_first: steps after which the deltas begin to learn; before, the heads learn alone.
        cooldown: last share of the run (of its steps or its minutes) in which the rate falls to 0.
        averaging: of the exponential average of the weights that is handed over.
    """

    steps: int
    seed: int = 0
    batch: int = 32
    rank: int = 32
    read: tuple[int, ...] = (11, 12)
    patch_share: float = 0.5
    teacher_side: int = SIDE
    directions: int = 64
    temperature: float = 2.0
    weights: Mapping[str, float] = field(default_factory=WEIGHTS.copy)
    grouping_share: float = 0.25
    rate: float = 1e-3
    head_rate: float = 3e-3
    warmup: int = 20
    heads_first: int = 50
    cooldown: float = 0.25
    averaging: float = 0.99
    save_every: int = 50


def choose_precision(device: torch.device) -> torch.autocast:
    """bfloat16 for the networks where a GPU runs them, float32 elsewhere and in every loss."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def normalise_images(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """`images` in 0..1 as the student's processor normalises them."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return (images - mean) / std


def encode_layers(
    vision: Any,
    images: Float[Tensor, "B 3 H W"],
    patches: Int[Tensor, "B P"] | None = None,
) -> list[Float[Tensor, "B positions F"]]:
    """The output of every layer, CLS first, of all patches or of the chosen ones alone."""
    states = vision.embeddings(normalise_images(images))
    if patches is not None:
        chosen = patches[..., None].expand(-1, -1, states.shape[-1])
        states = torch.cat([states[:, :1], states[:, 1:].gather(1, chosen)], dim=1)
    outputs = []
    for layer in vision.encoder.layer:
        states = layer(states)
        outputs.append(states)
    return outputs


def compare_photos(features: Float[Tensor, "B F"]) -> Float[Tensor, "B others"]:
    """The cosine of each row with every other row."""
    directions = functional.normalize(features.float(), dim=-1)
    others = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    return (directions @ directions.T)[others].unflatten(0, (len(features), -1))


def compare_patches(patches: Float[Tensor, "B P F"]) -> Float[Tensor, "B P P"]:
    """Of each photo's patches among themselves, their mean taken off."""
    directions = functional.normalize(patches - patches.mean(1, keepdim=True), dim=-1)
    return directions @ directions.transpose(1, 2)


class Heads(nn.Module):
    """From one layer's output to what the teacher says; thrown away after training."""

    def __init__(self, width: int, teacher_width: int, classes: int, text: int, directions: int):
        super().__init__()
        self.pooled = nn.Linear(2 * width, teacher_width)
        self.classes = nn.Linear(2 * width, classes)
        self.text = nn.Linear(2 * width, text)
        self.places = nn.Linear(width, directions)

    def forward(
        self, summary: Float[Tensor, "B two_widths"], patches: Float[Tensor, "B P width"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(Pooled features, logits, text vector, feature map at the patches)."""
        return (
            self.pooled(summary),
            self.classes(summary),
            self.text(summary),
            self.places(patches),
        )


@dataclass(frozen=True)
class TeacherScale:
    """Where the teacher's numbers lie, over untouched photos: their means, and the principal
    directions of its feature map.
    """

    pooled: Float[Tensor, "teacher_width"]
    text: Float[Tensor, "text_width"]
    places: Float[Tensor, "teacher_width"]
    directions: Float[Tensor, "teacher_width directions"]


def measure_scale(all_targets: list[Targets], teacher: Teacher, directions: int) -> TeacherScale:
    """Measure the means of the teacher's outputs and the principal directions of its map."""
    pooled = torch.cat([targets.pooled.float() for targets in all_targets])
    logits = torch.cat([targets.logits.float() for targets in all_targets])
    places = torch.cat(
        [targets.places.float().permute(0, 2, 3, 1).flatten(0, 2) for targets in all_targets]
    )
    centred = places - places.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return TeacherScale(
        pooled.mean(0),
        compute_conse(logits, teacher.class_vectors).mean(0),
        places.mean(0),
        vectors[:, -directions:].contiguous(),
    )


def random_patches(
    count: int, grid: int, share: float, generator: torch.Generator
) -> Int[Tensor, "B P"] | None:
    """Which patches of each photo the student sees; nothing where it sees all."""
    total = grid * grid
    if share >= 1:
        return None
    order = torch.rand(count, total, generator=generator).argsort(1)
    return order[:, : max(1, round(total * share))].sort(1).values


class Learner(nn.Module):
    """The student with its heads, and the encoder as it was."""

    scale: TeacherScale  # measured before the first step

    def __init__(self, vision: Any, teacher: Teacher, settings: Settings):
        super().__init__()
        self.settings = settings
        self.frozen = copy.deepcopy(vision).requires_grad_(False)
        self.vision: Any = vision
        self.teacher = teacher
        add_adapters(vision, settings.rank, settings.seed)
        config, network = vision.config, teacher.network
        self.heads = nn.ModuleList(
            Heads(
                config.hidden_size,
                network.num_features,
                network.num_classes,
                teacher.class_vectors.shape[1],
                settings.directions,
            )
            for _ in settings.read
        )

    def compute_targets(self, photos: UInt8[Tensor, "B 3 H W"], views: Views) -> Targets:
        """Compute what the teacher says of these views of the photos, B x 3 x H x W."""
        images = render_views(photos, views, self.settings.teacher_side)
        with choose_precision(images.device):
            return self.teacher(images)

    def losses(
        self,
        photos: UInt8[Tensor, "B 3 H W"],
        views: Views,
        patches: Int[Tensor, "B P"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Each term's mean over the batch; teacher and student see the same views."""
        settings, scale = self.settings, self.scale
        targets = self.compute_targets(photos, views)
        images = render_views(photos, views, IMAGE_SIDE)
        with choose_precision(images.device):
            outputs = encode_layers(self.vision, images, patches)
        probabilities = (targets.logits.float() / settings.temperature).softmax(-1)
        entropy = -(probabilities * probabilities.clamp(min=1e-9).log()).sum(-1).mean()
        text = compute_conse(targets.logits, self.teacher.class_vectors) - scale.text
        places = self._places(targets, images, patches)
        alike = (
            compare_photos(targets.pooled - scale.pooled) + compare_photos(probabilities.sqrt())
        ) / 2
        alike = (alike / NEAR).softmax(-1)
        layers = []
        for layer, heads in zip(settings.read, self.heads):
            tokens = normalised(outputs[layer - 1].float(), 1)
            summary = torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=-1)
            pooled, logits, vector, patch_map = heads(summary, tokens[:, 1:])
            found = (compare_photos(summary - summary.mean(0)) / NEAR).log_softmax(-1)
            cross = -(probabilities * logits.float().log_softmax(-1)).sum(-1).mean()
            layers.append(
                {
                    "pooled": measure_distance(pooled, targets.pooled - scale.pooled),
                    "classes": cross - entropy,
                    "text": measure_distance(vector, text),
                    "neighbours": functional.kl_div(found, alike, reduction="batchmean"),
                    "places": measure_distance(patch_map, places),
                }
            )
        terms = {name: torch.stack([one[name] for one in layers]).mean() for name in layers[0]}
        some = max(1, round(len(photos) * settings.grouping_share))
        with torch.no_grad(), choose_precision(images.device):
            old = encode_layers(
                self.frozen, images[:some], None if patches is None else patches[:some]
            )
        terms["grouping"] = torch.stack(
            [
                functional.mse_loss(
                    compare_patches(outputs[layer - 1][:some, 1:].float()),
                    compare_patches(old[layer - 1][:, 1:].float()),
                )
                for layer in FEATURE_LAYERS
            ]
        ).mean()
        return terms

    def _places(self, targets: Targets, images: Tensor, patches: Tensor | None) -> Tensor:
        """The teacher's feature map in its principal directions, at the patches' places."""
        directions = self.scale.directions
        places = targets.places.float().permute(0, 2, 3, 1) - self.scale.places
        grid = images.shape[-1] // self.vision.config.patch_size
        places = functional.interpolate(
            (places @ directions).permute(0, 3, 1, 2),
            size=(grid, grid),
            mode="bilinear",
            align_corners=False,
        )
        places = places.flatten(2).transpose(1, 2)
        if patches is None:
            return places
        return places.gather(1, patches[..., None].expand(-1, -1, places.shape[-1]))

    def trained(self) -> dict[str, nn.Parameter]:
        """Deltas and heads."""
        return trained(self.vision) | {
            f"heads.{name}": parameter for name, parameter in self.heads.named_parameters()
        }


def measure_distance(
    given: Float[Tensor, "... F"], wanted: Float[Tensor, "... F"]
) -> Float[Tensor, ""]:
    """1 - cosine, averaged."""
    return 1 - functional.cosine_similarity(given.float(), wanted.float(), dim=-1).mean()
