"""Stage 1, contrastive: one linear map from each locked tower into a common space, and tau.

L_X and L_t are cross-entropies over the rows and columns of the logits cosine * e^tau, L is their
mean; open_clip's `ClipLoss` is that L, its `SigLipLoss` the sigmoid loss of SigLIP. The image tower
is locked (LiT), and so is the text tower: both are run once.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlm.backends.compat import ensure_torchvision
from vlm.training.corpus import Corpus
from vlm.training.datasets import Photo
from vlm.training.features import summary
from vlm.training.objects import WordNet, synset_of
from vlm.training.parts import read_parts
from vlm.training.questions import label_words

# how often a photo is drawn, by the best text it has
WEIGHTS = {"captions": 1.0, "WordNet": 0.5, "label": 0.15}
DRAWS = 10
# the nearest broader words of a class name ("malamute": sled dog, working dog, dog, ...) that stand
# beside its photo too
ANCESTORS = 4
TEMPLATES = (
    "a photo of a {}.",
    "a picture of a {}.",
    "{}",
    "this is a {}.",
    "a close-up photo of a {}.",
    "there is a {} in the image.",
)


@dataclass(frozen=True)
class Settings:
    """What decides a run; `keep` pulls the text map towards the identity, which keeps the text
    tower's own geometry.
    """

    steps: int = 600
    seed: int = 0
    batch: int = 512
    rate: float = 1e-3
    decay: float = 0.5
    dropout: float = 0.3
    keep: float = 0.2
    loss: str = "softmax"


class Maps(nn.Module):
    """The two linear maps, tau and, for the sigmoid loss, a bias."""

    def __init__(self, image_width: int, text_width: int, settings: Settings) -> None:
        super().__init__()
        self.image = nn.Linear(image_width, text_width)
        self.text = nn.Linear(text_width, text_width, bias=False)
        nn.init.eye_(self.text.weight)
        self.logit_scale = nn.Parameter(torch.tensor(2.7))
        self.logit_bias = nn.Parameter(torch.tensor(-10.0)) if settings.loss == "sigmoid" else None
        self.dropout = nn.Dropout(settings.dropout)

    def forward(
        self, images: Float[Tensor, "B W"], texts: Float[Tensor, "B E"]
    ) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B E"]]:
        """Unit vectors of photos and texts."""
        return functional.normalize(self.image(self.dropout(images)), dim=-1), functional.normalize(
            self.text(texts), dim=-1
        )

    def parts(self) -> dict[str, Tensor]:
        """The tensors of a parts file."""
        return {
            "image.weight": self.image.weight,
            "image.bias": self.image.bias,
            "text.weight": self.text.weight,
            "logit_scale": self.logit_scale,
        }


def read(path: Path) -> Maps:
    """The maps of a parts file."""
    parts, _ = read_parts(path)
    maps = Maps(parts["image.weight"].shape[1], parts["text.weight"].shape[1], Settings())
    maps.load_state_dict(parts | {"logit_scale": parts["logit_scale"].reshape(())})
    return maps.eval()


def texts_of(photo: Photo, wordnet: WordNet | None = None) -> list[str]:
    """What may stand beside a photo: its captions, or its class name, and with WordNet its synonyms
    and broader words, in a sentence.
    """
    if not photo.label:
        return list(photo.captions)
    names = [label_words(photo.label)] * 3
    if wordnet and (synset := synset_of(photo)):
        names += [
            word.lower()
            for word in (*wordnet.words(synset), *wordnet.ancestors(synset)[:ANCESTORS])
        ]
    return [TEMPLATES[0].format(name) for name in names]


def weight_of(photo: Photo) -> float:
    """Give a photo's weight in the draw, by where its texts are from."""
    return WEIGHTS[
        (
            "label"
            if photo.label and not synset_of(photo)
            else "WordNet"
            if photo.label
            else "captions"
        )
    ]


@torch.inference_mode()
def encode_texts(
    sentences: Sequence[str], model, tokenizer, size: int = 128, progress=None
) -> Float[Tensor, "T E"]:
    """Mean-pooled states of the text tower, as open_clip's mean pooler gives them."""
    rows = []
    # so that little is padded
    order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
    for start in range(0, len(sentences), size):
        inputs = tokenizer(
            [sentences[index] for index in order[start : start + size]],
            padding=True,
            truncation=True,
            max_length=64,
            return_tensors="pt",
        )
        states = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        rows.append((states * mask).sum(1) / mask.sum(1))
        if progress:
            progress(min(start + size, len(sentences)), len(sentences), "texts")
    return torch.cat(rows)[torch.tensor(order).argsort()]


def image_rows(
    corpus: Corpus, photos: Sequence[Photo], views: bool
) -> tuple[Float[Tensor, "rows W"], list[list[int]]]:
    """[CLS; mean of the patches] of every photo (and, with `views`, of its other views), and which
    rows are whose.
    """
    rows, owners = [], []
    for photo in photos:
        places = corpus.places[photo.key] if views else corpus.places[photo.key][:1]
        owners.append(list(range(len(rows), len(rows) + len(places))))
        rows += [summary(features.row(index)) for features, index in places]
    return torch.stack(rows), owners


def train(
    corpus: Corpus, text_tower, settings: Settings, wordnet: WordNet | None = None, progress=None
) -> Maps:
    """The maps after `settings.steps` batches of distinct photos with distinct texts."""
    ensure_torchvision()
    from open_clip.loss import ClipLoss, SigLipLoss

    torch.manual_seed(settings.seed)
    chance = random.Random(settings.seed)
    photos = [photo for photo in corpus.training() if photo.captions or photo.label]
    weights = [weight_of(photo) for photo in photos]
    images, rows = image_rows(corpus, photos, views=True)
    beside = [texts_of(photo, wordnet) for photo in photos]
    sentences = sorted({text for texts in beside for text in texts})
    place = {text: index for index, text in enumerate(sentences)}
    texts = encode_texts(sentences, *text_tower, progress=progress)
    maps = Maps(images.shape[1], texts.shape[1], settings).train()
    identity = torch.eye(texts.shape[1])
    optimizer = torch.optim.AdamW(maps.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.05
    )
    loss_of = SigLipLoss() if settings.loss == "sigmoid" else ClipLoss()
    for step in range(settings.steps):
        drawn: dict[str, int] = {}
        for photo in dict.fromkeys(chance.choices(range(len(photos)), weights, k=settings.batch)):
            drawn.setdefault(chance.choice(beside[photo]), photo)
        image, text = maps(
            images[[chance.choice(rows[photo]) for photo in drawn.values()]],
            texts[[place[each] for each in drawn]],
        )
        extra = (maps.logit_bias,) if maps.logit_bias is not None else ()
        loss = loss_of(image, text, maps.logit_scale.exp(), *extra)
        optimizer.zero_grad()
        (loss + settings.keep * (maps.text.weight - identity).square().sum()).backward()
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, settings.steps, f"contrastive L {loss.item():.3f}, step")
    return maps.eval()


@torch.inference_mode()
def recall(
    maps: Maps, images: Float[Tensor, "n W"], texts: Float[Tensor, "n E"]
) -> dict[str, float]:
    """Recall@1 and @5 over n photos with one caption each, both ways."""
    image, text = maps(images, texts)
    cosine, own = image @ text.T, torch.arange(len(image))[:, None]
    return {
        f"{name} recall@{k}": (
            (matrix.topk(min(k, len(matrix)), dim=1).indices == own).any(1).float().mean().item()
        )
        for name, matrix in (("image->text", cosine), ("text->image", cosine.T))
        for k in (1, 5)
    }


@torch.inference_mode()
def zero_shot(
    maps: Maps, images: Float[Tensor, "n W"], labels: Sequence[str], text_tower
) -> dict[str, float]:
    """Top-1 and top-5 accuracy, each class the mean of its sentences."""
    names = sorted(set(labels))
    sentences = [template.format(label_words(name)) for name in names for template in TEMPLATES]
    texts = (
        functional.normalize(maps.text(encode_texts(sentences, *text_tower)), dim=-1)
        .view(len(names), len(TEMPLATES), -1)
        .mean(1)
    )
    image = functional.normalize(maps.image(images), dim=-1)
    best = (image @ functional.normalize(texts, dim=-1).T).topk(5, dim=1).indices
    own = torch.tensor([names.index(label) for label in labels])[:, None]
    return {
        f"{len(names)}-way top-{k}": (best[:, :k] == own).any(1).float().mean().item()
        for k in (1, 5)
    }


def evaluate(maps: Maps, corpus: Corpus, text_tower, count: int = 100) -> dict[str, float]:
    """Both measures on photos that were held out.

    Recall is the mean over several draws of `count` photos with one caption each.
    """
    kept = corpus.evaluation()
    captioned = sorted((photo for photo in kept if photo.captions), key=lambda photo: photo.key)
    images, _ = image_rows(corpus, captioned, views=False)
    draws = []
    for draw in range(DRAWS):
        chance = random.Random(draw)
        some = chance.sample(range(len(captioned)), min(count, len(captioned)))
        texts = encode_texts(
            [chance.choice(captioned[index].captions) for index in some], *text_tower
        )
        draws.append(recall(maps, images[some], texts))
    result = {name: sum(draw[name] for draw in draws) / DRAWS for name in draws[0]}
    classes = [photo for photo in kept if photo.dataset == "imagen_200x5" and photo.label]
    if classes:
        images, _ = image_rows(corpus, classes, views=False)
        result |= zero_shot(maps, images, [photo.label for photo in classes], text_tower)
    return result
