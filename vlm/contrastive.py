"""Contrastive learning: how f_v came to be.

Photos against texts, the two softmaxes and the losses L_X, L_t, L.

The one file that loads through open_clip; `towers` knows the inside of its image towers. logits =
cosine * e^tau (+ a bias, for models trained with the sigmoid loss), after Radford et al. 2021
("Learning Transferable Visual Models From Natural Language Supervision").
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import httpx
import numpy as np
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from jaxtyping import Float, Int
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from vlm.compat import ensure_torchvision
from vlm.device import exact_placement, to_numpy
from vlm.errors import FetchError, ImageError, ModelError, QuestionError
from vlm.images import to_rgb
from vlm.patches import Box, grid_boxes
from vlm.records import ImageEmbedding, PatchScores, Similarity, ZeroShot
from vlm.store import Progress
from vlm.text_tokens import check_characters
from vlm.towers import ClassAndPatches, Looked, look

ensure_torchvision()

import open_clip  # noqa: E402

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
TOKENIZER_SETTINGS = {
    "additional_special_tokens",
    "clean",
    "context_length",
    "language",
    "reduction_mask",
    "strip_sep_token",
    "tokenizer_mode",
}
UNREACHABLE = (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    URLError,
    ConnectionError,
    TimeoutError,
    httpx.TransportError,
)
# raised on damaged checkpoints
UNREADABLE = (
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


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
    def embed_images(self, images: Sequence[Image.Image]) -> tuple[ImageEmbedding, ...]:
        """f_v of a batch of photos, in one pass: X'_e, one unit vector a photo, and the photo's
        patches in the same space.

        Raises:
            ImageError: no photo was given.
        """
        if not images:
            raise ImageError("There is no photo to compare; add at least one.")
        pixels = self._pixels(images)
        looked = look(self.network.visual, pixels)
        vectors, length = (
            F.normalize(looked.vectors.float(), dim=-1),
            looked.vectors.float().norm(dim=-1, keepdim=True),
        )
        rows, columns = self._grid(pixels, looked)
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
                    else grid_boxes(self._received_box(image), rows, columns)
                ),
                rows=rows,
                columns=columns,
            )
            for i, image in enumerate(images)
        )

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "T E"]:
        """f_t: t'_e, one unit vector a text.

        A text beyond the tokenizer's length is cut, as open_clip does (`is_cut` tells).

        Raises:
            QuestionError: no text was given, one is empty, or one is not only text.
        """
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
        return to_numpy(
            F.normalize(self.network.encode_text(token_ids.to(self._weight.device)).float(), dim=-1)
        )

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

    def embed_image(self, image: Image.Image) -> Float[np.ndarray, " E"]:
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

    def similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Similarity:
        """Every photo against every text.

        Raises:
            ImageError, QuestionError: no photo, no text, or an empty text.
        """
        return self.compare(
            np.stack([each.vector for each in self.embed_images(images)]), self.embed_texts(texts)
        )

    def patch_scores(
        self, image: Image.Image | ImageEmbedding, text: str | Float[np.ndarray, " E"]
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
        images: Sequence[Image.Image],
        labels: Sequence[str],
        templates: Sequence[str] = ("a photo of a {}",),
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
        self, labels: Sequence[str], templates: Sequence[str]
    ) -> Float[np.ndarray, "labels E"]:
        """One unit vector a label."""
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

    def _grid(self, pixels: Float[Tensor, "I C H W"], looked: Looked) -> tuple[int, int]:
        """Rows and columns of the patches, which keep the shape of what the tower receives."""
        if looked.patches is None:
            return 0, 0
        height, width = pixels.shape[-2:]
        rows = round((looked.patches.shape[1] * height / width) ** 0.5)
        columns = looked.patches.shape[1] // rows
        if rows * columns != looked.patches.shape[1]:
            raise ModelError(
                f"The image tower of {self.name!r} has {looked.patches.shape[1]} patches for"
                f" {height} x {width} pixels; this version cannot tell where they are."
            )
        return rows, columns

    def _received_box(self, image: Image.Image) -> Box:
        """The part of the photo that the image transform keeps, in pixels of the photo."""
        height, width = image.height, image.width
        mode = self.resize_mode
        if mode == "squash":
            return 0.0, 0.0, float(height), float(width)
        # the longest: what is missing is filled up
        side = max(height, width) if mode == "longest" else min(height, width)
        top, left = (height - side) / 2, (width - side) / 2
        return top, left, top + side, left + side

    @property
    def _weight(self) -> Tensor:
        """One of the weights, which are all of one device and number format."""
        return next(self.network.parameters())

    def _pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "I C H W"]:
        return torch.stack([self.preprocess(to_rgb(image)) for image in images]).to(self._weight)


def load(name: str | Path, pretrained: str | None, progress: Progress | None) -> ContrastiveModel:
    """See `vlm.load_contrastive`."""
    if name == "embedded":
        from vlm import embedded

        return _load_embedded(embedded.contrastive_checkpoint(progress))
    folder = Path(str(name).removeprefix("local-dir:"))
    if str(name) and folder.is_dir():
        missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
        if missing:
            raise ModelError(
                f"{str(folder)!r} is no open_clip checkpoint: {' and '.join(missing)} is missing"
                " in it."
            )
        _check_configuration(str(folder), folder / CONFIG)
        return _load_open_clip(f"local-dir:{folder}", None)
    if str(name).startswith("hf-hub:"):
        _check_configuration(str(name), _configuration_of(str(name)))
        return _load_open_clip(str(name), None)
    given = str(name)
    if pretrained is None and given.count("/") == 1:
        name, pretrained = given.split("/")
    tags = open_clip.list_pretrained_tags_by_model(str(name))
    if not tags:
        raise ModelError(
            f"There is no contrastive model {given!r}; give 'embedded', the folder of an open_clip"
            " checkpoint, 'hf-hub:OWNER/NAME', or an open_clip name and its weights like"
            " 'ViT-B-32/openai'."
        )
    if pretrained not in tags:
        raise ModelError(
            f"For {str(name)!r} say which weights: pretrained is {pretrained!r}, allowed are"
            f" {', '.join(tags)}."
        )
    return _load_open_clip(str(name), pretrained)


def _configuration_of(name: str) -> Path:
    """The configuration of a model of the hub, which is fetched before all else.

    Raises:
        FetchError, ModelError: it cannot be had.
    """
    try:
        return Path(hf_hub_download(name.removeprefix("hf-hub:"), CONFIG))
    except UNREACHABLE as error:
        raise FetchError(
            f"The configuration of {name!r:.80} could not be fetched ({type(error).__name__}); look"
            " whether there is a network and such a model, or use 'embedded', which needs none."
        ) from error
    except ValueError as error:  # no name of a model
        raise ModelError(
            f"{name!r:.80} names no model of the hub; give 'hf-hub:OWNER/NAME'."
        ) from error


def _check_configuration(name: str, path: Path) -> None:
    """What a configuration asks of its tokenizer open_clip hands on unread, `trust_remote_code`
    included, which would run a stranger's code.

    Raises:
        ModelError: it asks for more than open_clip's own configurations do, or cannot be read.
    """
    try:
        text = json.loads(path.read_text())["model_cfg"]["text_cfg"]
        asked = set(text.get("tokenizer_kwargs") or {})
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The {CONFIG} of {name!r:.80} cannot be read; copy it again.") from error
    if more := sorted(map(str, asked - TOKENIZER_SETTINGS)):
        raise ModelError(
            f"{name!r:.80} asks its tokenizer for {', '.join(more)[:80]}, with which code of its"
            f" own could be run; only {', '.join(sorted(TOKENIZER_SETTINGS))} are followed."
        )


def _load_open_clip(name: str, pretrained: str | None) -> ContrastiveModel:
    where = exact_placement()
    try:
        network, _, preprocess = open_clip.create_model_and_transforms(
            name, pretrained=pretrained, weights_only=True
        )
        tokenizer = open_clip.get_tokenizer(name)
    except UNREACHABLE as error:
        raise FetchError(
            f"The weights of {name!r} could not be fetched ({type(error).__name__}); look whether"
            " there is a network, or use 'embedded', which needs none."
        ) from error
    except UNREADABLE as error:
        raise ModelError(
            f"The contrastive model {name!r} cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
    mode = network.visual.preprocess_cfg["resize_mode"]
    return ContrastiveModel(
        name.removeprefix("local-dir:"),
        network.to(where.device, where.dtype).eval().requires_grad_(False),
        preprocess,
        tokenizer,
        mode,
    )


def _load_embedded(folder: Path) -> ContrastiveModel:
    """open_clip's `CustomTextCLIP` with our pooling in the place of its image tower's."""
    from safetensors.torch import load_file

    where = exact_placement()
    config = json.loads((folder / CONFIG).read_text())
    model_config = config["model_cfg"]
    # config.json of the text tower; its weights come with ours
    model_config["text_cfg"]["hf_model_name"] = str(folder)
    network = open_clip.CustomTextCLIP(**model_config)
    trunk = network.visual.trunk
    # the stored position table fits this size
    trunk.set_input_size(img_size=model_config["vision_cfg"]["image_size"])
    network.visual = ClassAndPatches(trunk, config["feature_layers"], model_config["embed_dim"])
    network.load_state_dict(load_file(folder / WEIGHTS))
    preprocess_config = open_clip.transform.PreprocessCfg(
        size=model_config["vision_cfg"]["image_size"], **config["preprocess_cfg"]
    )
    preprocess = open_clip.transform.image_transform_v2(preprocess_config, is_train=False)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return ContrastiveModel(
        "embedded",
        network.to(where.device, where.dtype).eval().requires_grad_(False),
        preprocess,
        tokenizer,
        preprocess_config.resize_mode,
    )
