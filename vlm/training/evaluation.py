"""What the connector and the adapters can do on photos that no stage was trained on.

Every figure is measured twice more where that says something: with each visual token replaced by
the mean visual token (what the language model guesses without a picture), and for captions with
those of another photo. Captions are scored with CIDEr (pycocoevalcap's own class, on lower-cased
words); answers by exact match; yes and no by which of the two is more probable.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlm.backends.device import Placement
from vlm.embedded.assembly import merge
from vlm.training import base
from vlm.training.corpus import Corpus
from vlm.training.datasets import Photo
from vlm.training.features import pool
from vlm.training.language import Learner, Settings, alike, move
from vlm.training.mixing import Frame
from vlm.training.objects import WordNet, with_article
from vlm.training.packing import batch, pack
from vlm.training.parts import read_parts, unfold
from vlm.training.questions import CAPTION_QUESTIONS, PRESENCE_QUESTIONS, Asked, facts, sentence

LONGEST_CAPTION = 30  # tokens


class Constant(nn.Module):
    """A connector that gives the same token for every patch."""

    def __init__(self, token: Float[Tensor, "D"]) -> None:
        super().__init__()
        self.register_buffer("token", token)

    def forward(self, features: Float[Tensor, "V F"]) -> Float[Tensor, "V D"]:
        """Give the one token, D, for each of V features: V x D."""
        return self.token.expand(len(features), -1)


@dataclass(frozen=True)
class Reader:
    """A trained model that answers about cached features at one number of visual tokens."""

    learner: Learner
    tokenizer: object
    side: int

    @classmethod
    def load(cls, path: Path, place: Placement, side: int) -> "Reader":
        """The model of a parts file, its deltas merged."""
        parts, metadata = read_parts(path)
        model, tokenizer = base.language(place)
        deltas = {name: part for name, part in parts.items() if not name.startswith("connector.")}
        state = {name: weight.float() for name, weight in model.state_dict().items()}
        model.load_state_dict(merge(state, deltas, float(metadata.get("lora_scale", "1"))))
        width = parts["connector.linear_1.weight"].shape[1]
        connector = unfold(parts, torch.zeros(width), torch.ones(width))
        settings = Settings(steps=0, stage="connector")
        return cls(
            Learner(model, connector, torch.zeros(width), torch.ones(width), settings)
            .to(place.device)
            .eval(),
            tokenizer,
            side,
        )

    def at(self, side: int) -> "Reader":
        """Give the same model at another number of visual tokens, side x side."""
        return Reader(self.learner, self.tokenizer, side)

    @torch.inference_mode()
    def without_picture(self, some: Sequence[Float[Tensor, "positions F"]]) -> "Reader":
        """The same model with the mean visual token of `some` photos in the place of every visual
        token.
        """
        device = self.learner.mean.device
        mean = torch.stack(
            [
                self.learner.connect(pool(features, self.side).to(device)).mean(0)
                for features in some
            ]
        ).mean(0)
        blind = Learner(
            self.learner.language_model,
            Constant(mean),
            self.learner.mean,
            self.learner.spread,
            self.learner.settings,
        )
        return Reader(blind.eval(), self.tokenizer, self.side)

    @property
    def frame(self) -> Frame:
        """Frame prompts with this model's tokenizer."""
        return Frame(lambda text: tuple(self.tokenizer.encode(text, add_special_tokens=False)))

    @torch.inference_mode()
    def score(
        self, photos: Sequence[Float[Tensor, "positions F"]], asked: Sequence[Sequence[Asked]]
    ) -> list[list[tuple[float, bool]]]:
        """For each photo and each answer in turn: the mean -log p of its tokens, and whether greedy
        decoding would give exactly it.
        """
        pooled = [pool(features, self.side) for features in photos]
        turns = [[self.frame.turn(one) for one in several] for several in asked]
        packs = [
            pack(self.frame.prefix(), np.arange(len(visual)), several)
            for visual, several in zip(pooled, turns)
        ]
        results: list[list[tuple[float, bool]]] = [[] for _ in packs]
        table = self.learner.language_model.get_input_embeddings().weight
        for some in alike(packs):
            together = move(batch([packs[index] for index in some], table.dtype), table.device)
            hidden = self.learner.outputs(
                torch.cat([pooled[index] for index in some]).to(table.device), together
            )
            logits = functional.linear(hidden, table).float()
            losses = functional.cross_entropy(logits, together.targets, reduction="none")
            hits = logits.argmax(-1) == together.targets
            lengths = [
                [len(answer) for turn in turns[index] for answer in turn.answers] for index in some
            ]
            flat = [length for several in lengths for length in several]
            scored = iter(
                [
                    (loss.mean().item(), bool(hit.all()))
                    for loss, hit in zip(losses.split(flat), hits.split(flat))
                ]
            )
            for index, several in zip(some, lengths):
                results[index] = [next(scored) for _ in several]
        return results

    @torch.inference_mode()
    def captions(
        self,
        photos: Sequence[Float[Tensor, "positions F"]],
        question: str = CAPTION_QUESTIONS[0],
        size: int = 8,
    ) -> list[str]:
        """Greedy answers to one question."""
        model, device = self.learner.language_model, self.learner.mean.device
        embed = model.get_input_embeddings()
        before = embed(torch.tensor(self.frame.prefix(), device=device))
        after = embed(
            torch.tensor(self.frame.turn(Asked(question, (), "")).question, device=device)
        )
        end = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        texts: list[str] = []
        for start in range(0, len(photos), size):
            visual = [
                self.learner.connect(pool(features, self.side).to(device)).to(before.dtype)
                for features in photos[start : start + size]
            ]
            embeds = torch.stack([torch.cat([before, one, after]) for one in visual])
            mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=device)
            ids = model.generate(
                inputs_embeds=embeds,
                attention_mask=mask,
                max_new_tokens=LONGEST_CAPTION,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
            )
            texts += [
                text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)
            ]
        return texts


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr of one caption a photo against its human captions.

    The weights of words come from these references.
    """
    from pycocoevalcap.cider.cider import Cider

    def words(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9']+", text.lower()))

    given = {index: [words(caption)] for index, caption in enumerate(captions)}
    right = {
        index: [words(reference) for reference in several]
        for index, several in enumerate(references)
    }
    return float(Cider().compute_score(right, given)[0])


@dataclass(frozen=True)
class Tests:
    """What is asked, drawn once from the held-out photos: the same for every model and number of
    tokens.
    """

    captioned: tuple[Photo, ...]
    # DAQUAR's official test split, answers of one word
    questions: tuple[tuple[Photo, tuple[Asked, ...]], ...]
    presence: dict[str, tuple[tuple[Photo, tuple[Asked, ...], tuple[bool, ...]], ...]]

    @classmethod
    def draw(
        cls, corpus: Corpus, wordnet: WordNet | None, most: int = 300, seed: int = 0
    ) -> "Tests":
        """Draw the tests from the held-out photos by chance, the same for the same seed."""
        chance = random.Random(seed)
        kept = sorted(corpus.evaluation(), key=lambda photo: photo.key)
        captioned = [photo for photo in kept if photo.captions]
        rows = [
            (photo, question)
            for photo in kept
            for question in photo.questions
            if question[2] == "test" and re.fullmatch(r"[a-z0-9-]+", question[1])
        ]
        by_photo: dict[str, list[Asked]] = {}
        for photo, (question, answer, _) in chance.sample(rows, min(2 * most, len(rows))):
            by_photo.setdefault(photo.key, []).append(
                Asked(sentence(question).rstrip(".?") + "?", (sentence(answer),), "row")
            )
        photos = {photo.key: photo for photo in kept}
        questions = tuple((photos[key], tuple(asked)) for key, asked in by_photo.items())
        groups = {
            "labels of held-out photos": [
                photo for photo in kept if photo.label and photo.dataset != "imagen_200x5"
            ],
            "labels of imagen_200x5": [
                photo for photo in kept if photo.label and photo.dataset == "imagen_200x5"
            ],
            "objects that captions name": captioned,
        }
        presence = {
            name: cls._presence(group, wordnet, most, chance)
            for name, group in groups.items()
            if group
        }
        return cls(tuple(chance.sample(captioned, min(most, len(captioned)))), questions, presence)

    @staticmethod
    def _presence(
        photos: Sequence[Photo], wordnet: WordNet | None, most: int, chance: random.Random
    ):
        """One "yes" and one "no" a photo.

        "no" is asked of what other photos of the same data set show.
        """
        labels = {
            dataset: sorted(
                {photo.label for photo in photos if photo.label and photo.dataset == dataset}
            )
            for dataset in {photo.dataset for photo in photos}
        }
        known = {photo.key: facts(photo, wordnet, labels[photo.dataset]) for photo in photos}
        shown = {
            dataset: [
                name
                for photo in photos
                if photo.dataset == dataset
                for name in known[photo.key].present
            ]
            for dataset in labels
        }
        result = []
        for photo in chance.sample(list(photos), min(most, len(photos))):
            absent = set(known[photo.key].absent)
            others = [name for name in shown[photo.dataset] if name in absent]
            if known[photo.key].present and others:
                names = (chance.choice(known[photo.key].present), chance.choice(others))
                asked = tuple(
                    Asked(
                        chance.choice(PRESENCE_QUESTIONS).format(with_article(name)),
                        ("Yes.", "No."),
                        "presence",
                    )
                    for name in names
                )
                result.append((photo, asked, (True, False)))
        return tuple(result)


def measure(
    reader: Reader, corpus: Corpus, tests: Tests, report: Callable[[str], None] = lambda line: None
) -> dict[str, float]:
    """Every figure of one model at one number of visual tokens.

    `report` gets the captions as they are written.
    """

    def features(photos: Sequence[Photo]) -> list[Tensor]:
        return [
            table.row(index) for table, index in (corpus.places[photo.key][0] for photo in photos)
        ]

    sample = random.Random(1).sample(corpus.training(), min(200, len(corpus.training())))
    blind = reader.without_picture(features(sample))
    figures: dict[str, float] = {}
    if tests.captioned:
        photos = features(tests.captioned)
        references = [photo.captions for photo in tests.captioned]
        shift = max(1, len(photos) // 3)  # another photo's caption: some places further on
        captions = reader.captions(photos)
        for photo, caption in zip(tests.captioned, captions):
            report(f"{photo.key} | {caption} | {photo.captions[0]}")
        figures["captions, CIDEr"] = cider(captions, references)
        figures["captions, CIDEr, mean visual token"] = cider(
            blind.captions(photos[:1]) * len(photos), references
        )
        figures["captions, CIDEr, another photo's caption"] = cider(
            captions[shift:] + captions[:shift], references
        )
        right = [sentence(photo.captions[0]) for photo in tests.captioned]
        asked = [
            [Asked(CAPTION_QUESTIONS[0], (own, other), "")]
            for own, other in zip(right, right[shift:] + right[:shift])
        ]
        seen, guessed = (
            [[loss for loss, _ in row] for row in one.score(photos, asked)]
            for one in (reader, blind)
        )
        figures["-log p of a token of the right caption"] = float(np.mean([own for own, _ in seen]))
        figures["-log p of a token of another photo's caption"] = float(
            np.mean([other for _, other in seen])
        )
        figures["right caption more probable than another photo's"] = float(
            np.mean([own < other for own, other in seen])
        )
        # a caption that is likely for any photo is no evidence: compare how much the picture helps
        # each
        gains = [
            (blind_own - own, blind_other - other)
            for (own, other), (blind_own, blind_other) in zip(seen, guessed)
        ]
        figures["right caption helped more by the photo than another photo's"] = float(
            np.mean([own > other for own, other in gains])
        )
    if tests.questions:
        photos, asked = (
            features([photo for photo, _ in tests.questions]),
            [asked for _, asked in tests.questions],
        )
        for name, one in (("", reader), (", mean visual token", blind)):
            figures[f"DAQUAR test, one-word answers{name}"] = float(
                np.mean([hit for row in one.score(photos, asked) for _, hit in row])
            )
    for group, rows in tests.presence.items():
        photos, asked = features([photo for photo, _, _ in rows]), [asked for _, asked, _ in rows]
        for name, one in (("", reader), (", mean visual token", blind)):
            said = [
                [yes < no for (yes, _), (no, _) in zip(row[::2], row[1::2])]
                for row in one.score(photos, asked)
            ]
            figures[f"yes/no presence, {group}{name}"] = float(
                np.mean(
                    [
                        answer == truth
                        for row, (_, _, truths) in zip(said, rows)
                        for answer, truth in zip(row, truths)
                    ]
                )
            )
    return figures
