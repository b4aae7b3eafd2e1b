"""What one training step is made of: which photos, which views, which questions, at how many visual
tokens.

The step's number and the seed decide everything, so a run that is resumed meets the same batches as
one that was never interrupted.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlm.training.features import Features, beside, pool
from vlm.training.packing import Pack, Turn, pack
from vlm.training.questions import CAPTION_QUESTIONS, SIDED, Asked, Facts, fits, presence

Encode = Callable[[str], tuple[int, ...]]
SHARES = {  # of the photos of a step; data sets that are not named share what "other" has
    "flickr8k_1k": 0.27,
    "coco_captioned": 0.20,
    "ade20k_rooms_captioned": 0.10,
    "imagenet_sample_1k": 0.17,
    "popular_animals": 0.05,
    "grocery_store": 0.03,
    "birds525_valid": 0.025,
    "houses_rooms": 0.015,
    "daquar_vqa": 0.07,
    "cutouts": 0.07,
    "other": 0.20,
}
BESIDE_SHARE = 0.04  # of the photos of a step are two photos side by side


@dataclass(frozen=True)
class Entry:
    """One photo that may be trained on: where its features lie (one place a view) and what may be
    asked.
    """

    key: str
    places: tuple[tuple[Features, int], ...]
    facts: Facts

    @property
    def dataset(self) -> str:
        """Name the data set that the photo is from."""
        return self.key.split("/", 1)[0]


@dataclass(frozen=True)
class Frame:
    """The prompt's token ids around a photo and a question, as the processor's chat template writes
    them.
    """

    encode: Encode

    def prefix(self) -> tuple[int, ...]:
        """Encode what stands before the photo."""
        return self.encode("<|im_start|>user\n")

    def turn(self, asked: Asked) -> Turn:
        """Encode a question, from the photo to where the answer begins, and each of its answers."""
        question = self.encode(f"\n{asked.question}<|im_end|>\n<|im_start|>assistant\n")
        return Turn(question, tuple(self.encode(f"{answer}<|im_end|>") for answer in asked.answers))


class Mixture:
    """Entries by data set, and the draw of a step's packs and features."""

    def __init__(self, entries: Sequence[Entry], encode: Encode, seed: int = 0):
        self.groups: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.facts.asked:
                self.groups.setdefault(entry.dataset, []).append(entry)
        if not self.groups:
            raise ValueError("no photo is left to train on")
        unnamed = [name for name in self.groups if name not in SHARES]
        self.weights = {
            name: SHARES.get(name, SHARES["other"] / max(len(unnamed), 1)) for name in self.groups
        }
        self.frame = Frame(encode)
        self.seed = seed
        # "no" is asked of the same words as "yes": the word alone must not give the answer away
        self.asked_names = {
            name: [one for entry in group for one in entry.facts.present]
            for name, group in self.groups.items()
        }
        self.told = {
            name: [told for entry in group for told in entry.facts.told]
            for name, group in self.groups.items()
        }

    def step(
        self, number: int, sides: Mapping[int, float], tokens: int
    ) -> tuple[list[Pack], list[Float[Tensor, "V F"]]]:
        """Packs of about `tokens` positions in all and the features of their visual tokens.

        `sides` has grid sides and their shares.
        """
        chance = random.Random(f"{self.seed}-{number}")
        side = chance.choices(list(sides), list(sides.values()))[0]
        packs: list[Pack] = []
        visual: list[Tensor] = []
        used = 0
        while not packs or used < tokens:
            features, turns = self._photo(chance)
            pooled = pool(features, side)
            kept = np.arange(len(pooled))
            # half of the tokens teach nearly as much at half the price
            if side > 8 and chance.random() < 0.5:
                kept = np.sort(np.array(chance.sample(range(len(pooled)), len(pooled) // 2)))
            one = pack(
                self.frame.prefix(), kept, [self.frame.turn(asked) for asked in turns], len(pooled)
            )
            if packs and used + len(one.ids) > tokens * 1.15:
                break
            packs.append(one)
            visual.append(pooled[torch.from_numpy(kept)])
            used += len(one.ids)
        return packs, visual

    def _entry(self, chance: random.Random) -> Entry:
        name = chance.choices(list(self.groups), [self.weights[group] for group in self.groups])[0]
        return chance.choice(self.groups[name])

    def _photo(self, chance: random.Random) -> tuple[Tensor, list[Asked]]:
        entry = self._entry(chance)
        if chance.random() < BESIDE_SHARE:
            other = self._entry(chance)
            parts = [(one, chance.choice(one.places)) for one in (entry, other)]
            turns = []
            for (one, (features, _)), where in zip(parts, ("left", "right")):
                told = [
                    asked
                    for asked in usable(one.facts, features.view)
                    if asked.kind in ("caption", "label") and asked.question != "What room is this?"
                ]
                if told:
                    turns.append(
                        Asked(
                            f"What is on the {where}?", (chance.choice(told).answers[0],), "beside"
                        )
                    )
            if turns:
                return beside(*(features.row(index) for _, (features, index) in parts)), turns
        features, index = chance.choice(entry.places)
        return features.row(index), self.turns(entry, features.view, chance)

    def turns(self, entry: Entry, view: str, chance: random.Random) -> list[Asked]:
        """The questions of one visit to a photo: some captions, some facts, what is there and what
        is not, whose sentence fits.
        """
        allowed = usable(entry.facts, view)
        captions = [asked for asked in allowed if asked.kind == "caption"]
        others = [asked for asked in allowed if asked.kind not in ("caption", "label", "row")]
        named = [asked for asked in allowed if asked.kind in ("label", "row")]
        turns: list[Asked] = []
        if captions:
            few = chance.sample(captions, min(len(captions), 3))
            turns.append(
                Asked(
                    chance.choice(CAPTION_QUESTIONS),
                    tuple(asked.answers[0] for asked in few),
                    "caption",
                )
            )
        turns += chance.sample(others, min(len(others), 2))
        turns += chance.sample(named, min(len(named), 4 if named and named[0].kind == "row" else 2))
        for answer in (True, False, True, False):
            if chance.random() < 0.7 and (
                one := presence(self._names(entry, answer, chance), answer, chance)
            ):
                turns.append(one)
        for answer in (True, False):
            if chance.random() < 0.5 and (sentence := self._sentence(entry, view, answer, chance)):
                turns.append(fits(sentence, answer))
        return list(dict.fromkeys(turns)) or [chance.choice(entry.facts.asked)]

    def _names(self, entry: Entry, answer: bool, chance: random.Random) -> list[str]:
        if answer:
            return [chance.choice(entry.facts.present)] if entry.facts.present else []
        absent = set(entry.facts.absent)
        candidates = self.asked_names[entry.dataset]
        for _ in range(12 if candidates else 0):
            name = chance.choice(candidates)
            if name in absent:
                return [name]
        return []

    def _sentence(self, entry: Entry, view: str, answer: bool, chance: random.Random) -> str | None:
        """One of the photo's captions.

        Or, for "no", another photo's that names something which is certainly not here.
        """
        if answer:
            own = [
                sentence
                for sentence, _ in entry.facts.told
                if not ("flip" in view and SIDED.search(sentence))
            ]
            return chance.choice(own) if own else None
        absent = set(entry.facts.absent)
        candidates = self.told[entry.dataset]
        for sentence, names in chance.sample(candidates, min(len(candidates), 12)):
            if absent.intersection(names):
                return sentence
        return None


def usable(facts: Facts, view: str) -> list[Asked]:
    """A mirrored photo keeps only what is true of it."""
    return [asked for asked in facts.asked if not (asked.sided and "flip" in view)]
