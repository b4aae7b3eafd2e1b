"""Several questions about one photo, and several answers to one question, in one sequence that
computes the photo once.

The sequence is a tree laid out flat: the photo's tokens are the trunk, each question is a branch of
the trunk, each answer a branch of its question. A position may look at itself, at what precedes it
in its own segment, and at its ancestors; its position number is its depth, so every branch computes
exactly what it would compute alone. This file knows ids and masks, no model and no image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

VISUAL = -1  # the id of a position that a visual token fills


@dataclass(frozen=True)
class Turn:
    """One question (as token ids, prompt frame included) and the token ids of one or more right
    answers, each with its end token.
    """

    question: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Pack:
    """One photo's tree. `sources[k]` is the position whose output must predict `targets[k]`."""

    ids: Int[np.ndarray, "S"]
    positions: Int[np.ndarray, "S"]
    visible: Bool[np.ndarray, "S S"]
    sources: Int[np.ndarray, "K"]
    targets: Int[np.ndarray, "K"]
    answers: int


def pack(
    prefix: Sequence[int],
    visual_positions: Int[np.ndarray, "V"],
    turns: Sequence[Turn],
    visual_length: int | None = None,
) -> Pack:
    """Lay out prefix, V visual tokens and the turns.

    `visual_positions` are the places of the visual tokens that are kept, counted within the whole
    photo: dropping some of them moves nothing else. `visual_length` is how many the whole photo has
    (default: as many as are kept).
    """
    length = len(visual_positions) if visual_length is None else visual_length
    trunk = len(prefix) + len(visual_positions)
    ids = list(prefix) + [VISUAL] * len(visual_positions)
    positions = list(range(len(prefix))) + [len(prefix) + int(place) for place in visual_positions]
    depth = len(prefix) + length
    spans: list[tuple[int, int, tuple[tuple[int, int], ...]]] = [(0, trunk, ())]
    sources: list[int] = []
    targets: list[int] = []
    for turn in turns:
        start = len(ids)
        ids += turn.question
        positions += range(depth, depth + len(turn.question))
        question_span = (start, len(ids))
        spans.append((*question_span, ((0, trunk),)))
        for answer in turn.answers:
            first = len(ids)
            # the end token is predicted, never read: the last id of an answer needs no position of
            # its own
            ids += answer[:-1]
            positions += range(
                depth + len(turn.question), depth + len(turn.question) + len(answer) - 1
            )
            spans.append((first, len(ids), ((0, trunk), question_span)))
            sources += [question_span[1] - 1, *range(first, len(ids))]
            targets += answer
    visible = np.zeros((len(ids), len(ids)), dtype=bool)
    for start, end, ancestors in spans:
        visible[start:end, start:end] = np.tri(end - start, dtype=bool)
        for first, last in ancestors:
            visible[start:end, first:last] = True
    return Pack(
        np.array(ids),
        np.array(positions),
        visible,
        np.array(sources),
        np.array(targets),
        sum(len(turn.answers) for turn in turns),
    )


@dataclass(frozen=True)
class Batch:
    """Packs padded to one length. `rows` and `sources` say which outputs predict `targets`."""

    ids: Int[Tensor, "B S"]
    positions: Int[Tensor, "B S"]
    mask: Float[Tensor, "B 1 S S"]  # 0 where visible, very negative elsewhere
    visual: Bool[Tensor, "B S"]
    rows: Int[Tensor, "K"]
    sources: Int[Tensor, "K"]
    targets: Int[Tensor, "K"]


def batch(packs: Sequence[Pack], dtype: torch.dtype = torch.float32) -> Batch:
    """Pad on the right; a padded position sees only itself, so that its softmax is defined."""
    longest = max(len(one.ids) for one in packs)
    ids = torch.zeros(len(packs), longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    visible = torch.eye(longest, dtype=torch.bool).repeat(len(packs), 1, 1)
    for row, one in enumerate(packs):
        length = len(one.ids)
        ids[row, :length] = torch.from_numpy(one.ids)
        positions[row, :length] = torch.from_numpy(one.positions)
        visible[row, :length, :length] = torch.from_numpy(one.visible)
    mask = torch.zeros(len(packs), 1, longest, longest, dtype=dtype).masked_fill_(
        ~visible[:, None], torch.finfo(dtype).min
    )
    return Batch(
        ids=ids.clamp(min=0),
        positions=positions,
        mask=mask,
        visual=ids == VISUAL,
        rows=torch.cat([torch.full((len(one.sources),), row) for row, one in enumerate(packs)]),
        sources=torch.cat([torch.from_numpy(one.sources) for one in packs]),
        targets=torch.cat([torch.from_numpy(one.targets) for one in packs]),
    )
