"""Which photos are held out: decided by a hash of the file name, never by chance and never by hand.

Near-duplicates fall on one side together: photos whose CLS features are almost parallel form a
group, and the group's first key decides for all of it.
"""

import hashlib
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

HELD_OUT_SHARE = 0.07
DUPLICATE_COSINE = 0.95  # of centred CLS features; exact copies have 1.0
EVALUATION_ONLY = frozenset({"imagen_200x5"})  # a data set of which nothing is ever trained on


def bucket(key: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int(hashlib.sha1(key.encode()).hexdigest()[:8], 16) / 2**32


def is_held_out(key: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a photo ("dataset/file name") that has no near-duplicates is kept out of training."""
    return key.split("/", 1)[0] in EVALUATION_ONLY or bucket(key) < share


def duplicate_groups(
    features: Float[Tensor, "photos width"], threshold: float = DUPLICATE_COSINE
) -> list[int]:
    """For each photo the index of the first photo of its group.

    A photo like no other is its own group.
    """
    centred = torch.nn.functional.normalize(features.float() - features.float().mean(0), dim=-1)
    first = list(range(len(centred)))

    def root(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    for start in range(0, len(centred), 1024):
        rows, columns = torch.nonzero(
            centred[start : start + 1024] @ centred.T >= threshold, as_tuple=True
        )
        for row, column in zip((rows + start).tolist(), columns.tolist()):
            if column < row:
                a, b = sorted((root(row), root(column)))
                first[b] = a
    return [root(index) for index in range(len(first))]


def held_out(
    keys: Sequence[str],
    features: Float[Tensor, "photos width"],
    share: float = HELD_OUT_SHARE,
    threshold: float = DUPLICATE_COSINE,
    evaluation_keys: Collection[str] = (),
) -> set[str]:
    """The held-out keys among `keys`.

    A group with a photo of an evaluation-only data set, or with one of `evaluation_keys`,
    is held out whole.
    """
    order = sorted(range(len(keys)), key=lambda index: keys[index])
    groups = duplicate_groups(features[order], threshold)
    members: dict[int, list[str]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(keys[order[position]])
    evaluation_keys = frozenset(evaluation_keys)
    out: set[str] = set()
    for names in members.values():
        evaluation_only = any(name.split("/", 1)[0] in EVALUATION_ONLY for name in names)
        if evaluation_only or is_held_out(names[0], share) or not evaluation_keys.isdisjoint(names):
            out.update(names)
    return out
