"""The records a caller sees: what to do (`Decoding`), what happened (`Step`, `Stage`), and the
whole run (`Trace`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from vlm.errors import DecodingError
from vlm.records.patches import Patches
from vlm.records.text_tokens import TextTokens
from vlm.records.visual_tokens import VisualTokens

COLDEST = 0.001  # logits divided by less leave the range of their numbers


@dataclass(frozen=True)
class Decoding:
    """D_d, the decoding operator, and its hyper-parameters d. The default is greedy.

    What else came with a checkpoint, such as tokens that it never says, is obeyed too: see
    `model.own_settings`.

    Attributes:
        max_new_tokens: the longest answer, in tokens.
        temperature: 0 is greedy; 1 samples from the model's own distribution; below 1 sharpens it,
            above 1 flattens it.
        top_k: sample among the k most probable tokens only; 0 is all of them.
        top_p: nucleus sampling: among the fewest tokens whose probabilities sum to at least p; 1 is
            all of them.
        repetition_penalty: above 1 makes tokens that have occurred less probable; 1 is off; None is
            what came with the checkpoint.
        seed: the same seed gives the same answer.
        alternatives: how many of the most probable tokens each step reports.

    Raises:
        DecodingError: a value is outside its range.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float | None = None
    seed: int = 0
    alternatives: int = 8

    def __post_init__(self) -> None:
        ranges = {
            "max_new_tokens": (1, 1024),
            "temperature": (0.0, 5.0),
            "top_k": (0, 1_000_000),
            "top_p": (0.01, 1.0),
            "repetition_penalty": (0.5, 5.0),
            "seed": (0, 2**63 - 1),
            "alternatives": (1, 100),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            whole = isinstance(least, int)
            if value is None and name == "repetition_penalty":
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int if whole else (int, float))
                or not least <= value <= most
            ):
                raise DecodingError(
                    f"{name} is {value!r:.40}; give a {'whole ' if whole else ''}number from"
                    f" {least} to {most}."
                )
        if 0 < self.temperature < COLDEST:
            raise DecodingError(
                f"temperature is {self.temperature!r}; give 0, which is greedy, or a number from"
                f" {COLDEST} to 5.0."
            )


@dataclass(frozen=True)
class Alternative:
    """One token that could have come at a step.

    Attributes:
        log_probability: the model's own, before D_d and all settings of the checkpoint.
        decoding_probability: its share after them; 0 if they ruled it out.
    """

    token_id: int
    token_string: str
    log_probability: float
    decoding_probability: float

    @property
    def probability(self) -> float:
        """Give the model's own probability, before D_d: exp(log_probability)."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class Step:
    """One generated token.

    Attributes:
        index: 0 for the first token of the answer.
        log_probability: the model's own for the chosen token, before D_d and all settings of the
            checkpoint, as `model.score` has it too: also of a token that these forced or favoured.
        decoding_probability: its share after them; 1 when greedy.
        entropy: of the model's whole distribution before D_d, in bits: 0 when it is certain,
            log2(vocab) when it knows nothing.
        alternatives: the model's most probable tokens, best first; the chosen one need not be
            among them.
        is_end: this token ends the answer and is not part of its text.
        answer: the text of the answer up to and including this token.
        milliseconds: the time this token took; the first one includes the prefill of the whole
            sequence, unless that was reused.
        attention: what the position that said this token looked at: for every layer of the language
            model the mean over the heads, over all positions before it; each row sums to 1. None
            where nothing recorded it.
        beside: in models that read their visual tokens by cross-attention, for every layer that
            does so the mean over the heads, over the visual tokens; each row sums to 1.
    """

    index: int
    token_id: int
    token_string: str
    log_probability: float
    decoding_probability: float
    entropy: float
    alternatives: tuple[Alternative, ...]
    is_end: bool
    answer: str
    milliseconds: float
    attention: Float[np.ndarray, "layers positions"] | None = field(
        default=None, compare=False, repr=False
    )
    beside: Float[np.ndarray, "crossing V"] | None = field(default=None, compare=False, repr=False)

    @property
    def probability(self) -> float:
        """Give the model's own probability of the token, before D_d: exp(log_probability)."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class Stage:
    """One arrow of the pipeline: its symbol, its real shape with the name of each axis, and the
    time it took.
    """

    symbol: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True)
class EncodedImage:
    """What depends on the photos alone: X to VT.

    Everything is what the model computed, as numpy arrays in float32 on the CPU.

    Attributes:
        images: X, the photos, RGB; most questions are about one.
        patches: x_p.
        projections: each patch after the linear projection; None in encoders that project no
            patches one by one.
        position_embeddings: what the encoder added to each of `projections`: its learned position
            table at this grid's size; None in encoders that learn none.
        rotation: the angle in radians by which each pair of numbers of a query or key is turned at
            each patch's place; None in encoders that turn nothing.
        patch_features: the patches inside the encoder: `patch_features[0]` is what its first layer
            reads (projection plus position embedding; CLIP normalises them first),
            `patch_features[k]` the output of layer k, one row a patch. Encoders whose layers do not
            keep one vector a patch have only one row, their output.
        prefix_features: the same for the encoder positions that are not patches (CLS, registers),
            picture after picture; possibly none.
        encoder_output: X', what the connector read of each patch: after one of the layers (and the
            encoder's last norm, where the model puts it), or after several, side by side.
        output_layers: which ones; 1 is the first.
        visual_tokens: VT, without places in a sequence.
        stages: symbol, shape and time of X, x_p, X' and VT.
        inputs: what the processor made for the encoder.
        kept: what the model's own forward needs to go on from here.
        processed: what the processor's picture part made of the photos, for the prompts to come.
        question: what the photos were seen with; a stand-in, unless the connector reads it.
        input_ids: the prompt with it, as token ids.
    """

    images: tuple[Image.Image, ...]
    patches: Patches
    projections: Float[np.ndarray, "N width"] | None
    position_embeddings: Float[np.ndarray, "N width"] | None
    rotation: Float[np.ndarray, "N pairs"] | None
    patch_features: Float[np.ndarray, "layers N width"]
    prefix_features: Float[np.ndarray, "layers prefix width"]
    encoder_output: Float[np.ndarray, "N F"]
    output_layers: tuple[int, ...]
    visual_tokens: VisualTokens
    stages: tuple[Stage, ...]
    inputs: Mapping[str, Any] = field(compare=False, repr=False)
    kept: Any = field(compare=False, repr=False)
    processed: dict[str, Any] = field(compare=False, repr=False)
    question: str = field(compare=False, repr=False)
    input_ids: tuple[int, ...] = field(compare=False, repr=False)

    @property
    def image(self) -> Image.Image:
        """The first photo."""
        return self.images[0]


@dataclass(frozen=True)
class Trace:
    """One run of the pipeline: what was seen (`encoded_image`, whose fields can be read here too),
    the prompt, and the answer. Data alone, which pickles: what looks inside it is
    `model.inspect(trace)`.

    Attributes:
        encoded_image: X to VT.
        question: as asked.
        prompt: the text around the image as the model's chat template renders it, image placeholder
            included.
        visual_tokens: VT.
        text_tokens: TT.
        input_ids: the prompt as token ids, S of them; visual positions hold the id of the image
            placeholder.
        inputs_embeds: VT + TT, the fused sequence that the language model reads.
        roles: what each position of the sequence is: `visual`, `question`, `special` (a control
            token) or `template`.
        steps: the answer, token by token; empty before decoding.
        stages: symbol, shape and time of every stage so far.
        language_inputs: what the model's own forward gives its language model beside
            `inputs_embeds`: positions, masks, further features.
    """

    encoded_image: EncodedImage
    question: str
    prompt: str
    visual_tokens: VisualTokens
    text_tokens: TextTokens
    input_ids: Int[np.ndarray, "S"]
    inputs_embeds: Float[np.ndarray, "S D"]
    roles: tuple[str, ...]
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    language_inputs: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def image(self) -> Image.Image:
        """Give X, the first photo: H x W pixels."""
        return self.encoded_image.image

    @property
    def patches(self) -> Patches:
        """Give x_p, the flattened patches and where they are from."""
        return self.encoded_image.patches

    @property
    def patch_features(self) -> Float[np.ndarray, "layers N width"]:
        """Give the encoder's states of the patches, layer by layer: layers x N x width."""
        return self.encoded_image.patch_features

    @property
    def prefix_features(self) -> Float[np.ndarray, "layers prefix width"]:
        """Give the encoder's states of CLS and registers: layers x prefix x width."""
        return self.encoded_image.prefix_features

    @property
    def encoder_output(self) -> Float[np.ndarray, "N F"]:
        """Give X', the encoder's output: N x F."""
        return self.encoded_image.encoder_output

    @property
    def answer(self) -> str:
        """The text of the answer; empty before decoding."""
        return self.steps[-1].answer if self.steps else ""

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from vlm.records.notebook import html

        return html(self)

    def with_steps(self, steps: Iterable[Step]) -> "Trace":
        """This trace with its answer, and the answer's stage."""
        steps = tuple(steps)
        stages = tuple(stage for stage in self.stages if stage.symbol != "answer")
        answer = Stage(
            "answer", (len(steps),), ("tokens",), sum(step.milliseconds for step in steps)
        )
        return replace(self, steps=steps, stages=(*stages, answer))


@dataclass(frozen=True)
class Similarity:
    """I photos against T texts.

    Attributes:
        cosine: between the two normalised vectors of each pair, -1 to 1.
        logits: cosine * logit_scale + logit_bias.
        image_to_text: for each photo, softmax over the texts (rows sum to 1).
        text_to_image: for each text, softmax over the photos (columns sum to 1).
        sigmoid: of each logit alone, as models trained with the sigmoid loss are read (Zhai et al.,
            2023).
        logit_scale: e^tau.
        logit_bias: 0 unless the model was trained with the sigmoid loss.
        loss_image: L_X, the cross-entropy of finding each photo's text, photo i belonging to text
            i; None unless I = T.
        loss_text: L_t, the same from text to photo.
        loss: L, the mean of the two.
        loss_sigmoid: the mean over the photos of -log sigmoid of each logit, its sign turned where
            photo and text do not belong together.
    """

    cosine: Float[np.ndarray, "I T"]
    logits: Float[np.ndarray, "I T"]
    image_to_text: Float[np.ndarray, "I T"]
    text_to_image: Float[np.ndarray, "I T"]
    sigmoid: Float[np.ndarray, "I T"]
    logit_scale: float
    logit_bias: float
    loss_image: float | None
    loss_text: float | None
    loss: float | None
    loss_sigmoid: float | None


@dataclass(frozen=True)
class ImageEmbedding:
    """X'_e, one photo in the space that photos and sentences share.

    Attributes:
        vector: of length one.
        cls: the share of `vector` that comes from CLS (and the linear map's bias); zeros where a
            tower has none.
        patches: each patch in the same space; None where a tower has no patches. If `exact`, their
            shares of `vector`: cls + patches.mean(0) is vector. Else unit vectors, which show where
            a sentence is near but do not add up.
        corrected: unit vectors of the patches if each looks only at itself in the tower's last
            layer; None where not to be had.
        boxes: (top, left, bottom, right) of each patch in pixels of the photo.
    """

    vector: Float[np.ndarray, " E"]
    cls: Float[np.ndarray, " E"]
    patches: Float[np.ndarray, "N E"] | None
    corrected: Float[np.ndarray, "N E"] | None
    exact: bool
    boxes: Float[np.ndarray, "N 4"] | None
    rows: int
    columns: int


@dataclass(frozen=True)
class PatchScores:
    """Which patches of one photo speak for one text.

    Attributes:
        cosine: of the photo and the text.
        cls: what comes from CLS; 0 where a tower has none.
        patches: of each patch. If `exact`, cls + patches.mean() == cosine. Else the cosine of each
            patch's own vector with the text, which is known to light the background as readily as
            the thing (Li et al., "CLIP Surgery", 2023).
        corrected: the same with each patch looking only at itself in the last layer (Zhou et al.,
            "Extract Free Dense Labels from CLIP", 2022), which lights the thing more often; None
            where that is not to be had.
        boxes: (top, left, bottom, right) of each patch in pixels of the photo.
    """

    cosine: float
    cls: float
    patches: Float[np.ndarray, " N"]
    corrected: Float[np.ndarray, " N"] | None
    exact: bool
    boxes: Float[np.ndarray, "N 4"]
    rows: int
    columns: int


@dataclass(frozen=True)
class ZeroShot:
    """Which label each photo is: softmax over the labels of cosine * e^tau."""

    labels: tuple[str, ...]
    cosine: Float[np.ndarray, "I labels"]
    probabilities: Float[np.ndarray, "I labels"]
