"""How well features find their own kind: nearest neighbours and a linear probe, of every layer, on
photos that were never trained on.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vlm.backends.towers import normalised

FOLDS = 5
RIDGE = 0.1  # of the mean squared length of a photo's centred features


def summarise_layers(
    outputs: Sequence[Float[Tensor, "B positions F"]],
) -> Float[Tensor, "layers B two_widths"]:
    """[CLS; mean of the patches] of each layer, normalised."""
    tokens = [normalised(states.float(), 1) for states in outputs]
    return torch.stack([torch.cat([one[:, 0], one[:, 1:].mean(1)], dim=-1) for one in tokens])


def count_right_neighbours(
    features: Float[Tensor, "photos width"], labels: Sequence[str], count: int = 5
) -> tuple[float, float]:
    """The share of the photos whose nearest other photo (by the cosine of centred features) has
    their label, and that have one with their label among the `count` nearest.
    """
    centred = features.float() - features.float().mean(0)
    directions = functional.normalize(centred, dim=-1)
    cosines = directions @ directions.T
    cosines.fill_diagonal_(-2.0)
    nearest = cosines.topk(min(count, len(labels) - 1)).indices
    classes = _numbered(labels).to(nearest.device)
    right = classes[nearest] == classes[:, None]
    return right[:, 0].float().mean().item(), right.any(1).float().mean().item()


def count_right_by_probe(features: Float[Tensor, "photos width"], labels: Sequence[str]) -> float:
    """The share of the photos whose class a ridge regression names right that was fitted on the
    photos of the other folds.

    The n-th photo of a class lies in fold n modulo `FOLDS`.
    """
    classes = _numbered(labels)
    folds = torch.tensor(
        [list(labels[:place]).count(label) % FOLDS for place, label in enumerate(labels)]
    )
    features = features.double().cpu()
    wanted = functional.one_hot(classes).double()
    right = 0
    for fold in folds.unique():
        taught, asked = folds != fold, folds == fold
        mean = features[taught].mean(0)
        known, unknown = features[taught] - mean, features[asked] - mean
        # photos are fewer than features: the dual form solves the smaller system
        gram = known @ known.T
        gram.diagonal().add_(RIDGE * gram.diagonal().mean())
        answers = unknown @ known.T @ torch.linalg.solve(gram, wanted[taught])
        right += (answers.argmax(1) == classes[asked]).sum().item()
    return right / len(labels)


def _numbered(labels: Sequence[str]) -> Tensor:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([numbers[label] for label in labels])
