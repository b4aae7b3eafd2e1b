"""Contrastive learning: how f_v came to be.

Photos against texts, the two softmaxes and the losses L_X, L_t, L.

`contrastive_loading` loads a pair, `towers` knows the inside of its image tower. logits = cosine *
e^tau (+ a bias, for models trained with the sigmoid loss), after Radford et al. 2021 ("Learning
Transferable Visual Models From Natural Language Supervision").
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from vlm.backends.device import to_numpy
from vlm.backends.towers import Looked, look, patch_shape
from vlm.errors import ModelError, QuestionError
from vlm.pipeline.image import GivenPhotos, check_photos, to_rgb
from vlm.records.patches import Box, cover_box, grid_boxes, window_box
from vlm.records.text_tokens import check_characters
from vlm.records.trace import ImageEmbedding, PatchScores, Similarity, ZeroShot


@dataclass(frozen=True)
class ContrastiveModel:
    """A loaded pair of towers with its image transform and tokenizer."""

    name: str
    network: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Callable[[list[str]], Tensor]
    # open_clip's: "shortest" (and centre crop), "longest" (and filled up), "squash"
    resize_mode: str

    @torch.inference_mode()
    def embed_images(self, images: GivenPhotos) -> tuple[ImageEmbedding, ...]:
        """f_v of a batch of photos, in one pass: X'_e, one unit vector a photo, and the photo's
        patches in the same space.

        Raises:
            ImageError: no photo was given, or something else than photos.
        """
        images = check_photos(images)
        pixels = self._pixels(images)
        looked = look(self.network.visual, pixels)
        vectors, length = (
            F.normalize(looked.vectors.float(), dim=-1),
            looked.vectors.float().norm(dim=-1, keepdim=True),
        )
        rows, columns, covered = self._grid(pixels, looked)
        received = tuple(pixels.shape[-2:])
        return tuple(
            ImageEmbedding(
                vector=to_numpy(vectors[i]),
                cls=to_numpy(looked.classes[i] / length[i]),
                patches=(
                    None
                    if looked.patches is None
                    else to_numpy(
                        looked.patches[i] / length[i]
                        if looked.exact
                        else F.normalize(looked.patches[i], dim=-1)
                    )
                ),
                corrected=(
                    None
                    if looked.corrected is None
                    else to_numpy(F.normalize(looked.corrected[i], dim=-1))
                ),
                exact=looked.exact,
                boxes=(
                    None
                    if looked.patches is None
                    else grid_boxes(
                        cover_box(self._received_box(image, received), received, covered),
                        rows,
                        columns,
                    )
                ),
                rows=rows,
                columns=columns,
            )
            for i, image in enumerate(images)
        )

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str] | object) -> Float[np.ndarray, "T E"]:
        """f_t: t'_e, one unit vector a text.

        A text beyond the tokenizer's length is cut, as open_clip does (`is_cut` tells).

        Raises:
            QuestionError: no text was given, one is empty, or one is not only text.
        """
        check_texts(texts)
        if not texts or not all(text.strip() for text in texts):
            raise QuestionError(
                "There is an empty text among the texts to compare; give at least one, each with a"
                " word in it."
            )
        token_ids = self.tokenizer([check_characters(text, "A text to compare") for text in texts])
        usual, *found = self._controls(torch.cat([self.tokenizer(["a"]), token_ids]))
        for text, count in zip(texts, found, strict=True):
            if count != usual:
                raise QuestionError(
                    f"{text[:60]!r} holds what this model's tokenizer reads as a control token and"
                    " not as text; leave what stands in brackets out."
                )
        # CoCa's own default is to normalise, the others' is not to
        vectors = self.network.encode_text(token_ids.to(self._weight.device), normalize=False)
        return to_numpy(F.normalize(vectors.float(), dim=-1))

    def _controls(self, token_ids: Int[Tensor, "T length"]) -> list[int]:
        """How many control tokens each text has, what fills it up at its end left out."""
        # transformers' own, or open_clip's
        entries = getattr(self.tokenizer, "tokenizer", self.tokenizer)
        special, filling = (
            set(entries.all_special_ids) - {getattr(entries, "unk_token_id", None)},
            getattr(entries, "pad_token_id", 0),
        )
        counts = []
        for row in token_ids.tolist():
            while row and row[-1] == filling:
                row.pop()
            counts.append(sum(number in special for number in row))
        return counts

    def embed_image(self, image: Image.Image | object) -> Float[np.ndarray, " E"]:
        """The unit vector of one photo."""
        return self.embed_images([image])[0].vector

    def embed_text(self, text: str) -> Float[np.ndarray, " E"]:
        """The unit vector of one text."""
        return self.embed_texts([text])[0]

    def is_cut(self, text: str) -> bool:
        """Whether the text has more tokens than the text tower reads.

        With more room than any text of so many letters takes, one that was not cut gains nothing
        but what fills it up.
        """
        [read] = self.tokenizer([text]).tolist()
        room = len(read) + 4 * len(text.encode()) + 16
        whole, wider = (
            Counter(self.tokenizer([text], context_length=length)[0].tolist())
            for length in (room, room + 1)
        )
        [filling] = (wider - whole).elements()
        return whole - Counter(read) != Counter({filling: room - len(read)})

    @property
    def logit_scale(self) -> float:
        """e^tau, as learned."""
        return float(self.network.logit_scale.exp())

    @property
    def logit_bias(self) -> float | None:
        """The bias of a model trained with the sigmoid loss; None for the others."""
        bias = getattr(self.network, "logit_bias", None)
        return None if bias is None else float(bias)

    def compare(
        self, images: Float[np.ndarray, "I E"], texts: Float[np.ndarray, "T E"]
    ) -> Similarity:
        """Every photo's vector against every text's: the matrix, its readings and the losses."""
        cosine = torch.from_numpy(images) @ torch.from_numpy(texts).T
        logits = cosine * self.logit_scale + (self.logit_bias or 0.0)
        losses: tuple[float | None, ...] = (None,) * 4
        if len(images) == len(texts):
            pairs = torch.arange(len(texts))
            loss_image, loss_text = (
                float(F.cross_entropy(logits, pairs)),
                float(F.cross_entropy(logits.T, pairs)),
            )
            signs = 2 * torch.eye(len(texts)) - 1
            losses = (
                loss_image,
                loss_text,
                (loss_image + loss_text) / 2,
                float(-F.logsigmoid(signs * logits).sum() / len(texts)),
            )
        arrays = (
            tensor.numpy()
            for tensor in (cosine, logits, logits.softmax(1), logits.softmax(0), logits.sigmoid())
        )
        return Similarity(*arrays, self.logit_scale, self.logit_bias or 0.0, *losses)

    def similarity(self, images: GivenPhotos, texts: Sequence[str] | object) -> Similarity:
        """Every photo against every text.

        Raises:
            ImageError, QuestionError: no photo, no text, or an empty text.
        """
        return self.compare(
            np.stack([each.vector for each in self.embed_images(images)]), self.embed_texts(texts)
        )

    def patch_scores(
        self, image: GivenPhotos | ImageEmbedding, text: str | Float[np.ndarray, " E"]
    ) -> PatchScores:
        """Which patches speak for a text (or for a vector of the joint space).

        Raises:
            ModelError: this model's image tower has no patches.
            QuestionError: the text is empty.
        """
        embedding = image if isinstance(image, ImageEmbedding) else self.embed_images([image])[0]
        if embedding.patches is None:
            raise ModelError(
                f"The image tower of {self.name!r} has no patches in the joint space, so there is"
                " no map; use 'embedded' or a ViT."
            )
        vector = self.embed_text(text) if isinstance(text, str) else text
        return PatchScores(
            cosine=float(embedding.vector @ vector),
            cls=float(embedding.cls @ vector),
            patches=embedding.patches @ vector,
            corrected=None if embedding.corrected is None else embedding.corrected @ vector,
            exact=embedding.exact,
            boxes=embedding.boxes,
            rows=embedding.rows,
            columns=embedding.columns,
        )

    def leave_one_out(
        self, image: Float[np.ndarray, " E"], text: str
    ) -> tuple[tuple[str, float], ...]:
        """Each word of the text with the change of the cosine when it is left out: below zero, the
        word speaks for the photo.
        """
        words = text.split()
        if len(words) < 2:
            return tuple((word, 0.0) for word in words)
        shorter = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
        whole, *changed = self.embed_texts([" ".join(words), *shorter]) @ image
        return tuple((word, float(score - whole)) for word, score in zip(words, changed))

    def zero_shot(
        self,
        images: GivenPhotos,
        labels: Sequence[str] | object,
        templates: Sequence[str] | object = ("a photo of a {}",),
    ) -> ZeroShot:
        """Which of the labels each photo is: every label is the mean of its vectors in all
        templates (a prompt ensemble).

        Raises:
            ImageError, QuestionError: no photo, no label, an empty one, or a template without "{}".
        """
        vectors = np.stack([each.vector for each in self.embed_images(images)])
        record = self.compare(vectors, self.embed_labels(labels, templates))
        return ZeroShot(tuple(labels), record.cosine, record.image_to_text)

    def embed_labels(
        self, labels: Sequence[str] | object, templates: Sequence[str] | object
    ) -> Float[np.ndarray, "labels E"]:
        """One unit vector a label.

        Raises:
            QuestionError: no label or template, or what is no list of texts.
        """
        for given in (labels, templates):
            check_texts(given)
        for template in templates:
            if "{}" not in template:
                raise QuestionError(
                    f"The template {template!r} has no place for the label; write {{}} where it"
                    " goes, for example: a photo of a {}"
                )
        if not templates:
            raise QuestionError(
                "There is no template; give at least one, for example: a photo of a {}"
            )
        texts = [template.replace("{}", label) for label in labels for template in templates]
        means = self.embed_texts(texts).reshape(len(labels), len(templates), -1).mean(1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def _grid(
        self, pixels: Float[Tensor, "I C H W"], looked: Looked
    ) -> tuple[int, int, tuple[int, int]]:
        """Rows and columns of the patches, and the height and width of the pixels that lie in them:
        where a side is no multiple of the patch, the tower leaves the last pixels out.

        Raises:
            ModelError: the tower gives another number of patches.
        """
        if looked.patches is None:
            return 0, 0, (0, 0)
        height, width = pixels.shape[-2:]
        high, wide = patch_shape(self.network.visual)
        rows, columns = height // high, width // wide
        if rows * columns != looked.patches.shape[1]:
            raise ModelError(
                f"The image tower of {self.name!r} has {looked.patches.shape[1]} patches for"
                f" {height} x {width} pixels; this version cannot tell where they are."
            )
        return rows, columns, (rows * high, columns * wide)

    def _received_box(self, image: Image.Image, received: tuple[int, int]) -> Box:
        """The part of the photo that the image transform shows the tower, in pixels of the photo.

        It reaches beyond the photo where the transform fills up.

        Args:
            received: height and width of what the tower is given.
        """
        photo = image.height, image.width
        ratios = [of / to for of, to in zip(photo, received)]
        if self.resize_mode == "squash":
            resized = received
        elif self.resize_mode == "shortest" and received[0] == received[1]:
            # torchvision's Resize to one side
            resized = tuple(int(received[0] * side / min(photo)) for side in photo)
        else:  # open_clip's ResizeKeepRatio
            ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
            resized = tuple(round(side / ratio) for side in photo)
        # the middle of it, filled up first where there is too little
        offsets = [
            -((to - of) // 2) if to > of else round((of - to) / 2)
            for of, to in zip(resized, received)
        ]
        return window_box(photo, resized, tuple(offsets), received)

    @property
    def _weight(self) -> Tensor:
        """One of the weights, which are all of one device and number format."""
        return next(self.network.parameters())

    def _pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "I C H W"]:
        return torch.stack([self.preprocess(to_rgb(image)) for image in images]).to(self._weight)


def check_texts(texts: object) -> None:
    """Refuse what is no list of texts; one text alone would be read letter by letter.

    Raises:
        QuestionError: it is none.
    """
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise QuestionError(
            f"{texts!r:.60} is no list of texts to compare; give one, for example ['a cat']."
        )
