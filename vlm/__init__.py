"""Visual Token Explorer's library: image and text in, frozen records out, every stage of the
pipeline in between.

    import vlm

    model = vlm.load("embedded")
    trace = model.trace(image, "What is in this image?")

The dimension key, obeyed everywhere: N patches of the encoder · V visual tokens · T text tokens · S
positions of the fused sequence · F encoder width · D language-model width · P side of a patch · C
colour channels · H W pixels.

Importing this package loads neither torch nor transformers; `load` and `load_contrastive` do.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vlm import findings
from vlm.backends.storages import storages
from vlm.embedded.shipped import assets
from vlm.errors import (
    DecodingError,
    FetchError,
    ImageError,
    ModelError,
    QuestionError,
    RunError,
    VLMError,
    is_out_of_memory,
)
from vlm.hub.catalogue import LISTED, MODELS, TEMPLATES, Listed, ListedModel
from vlm.hub.store import Progress
from vlm.inspect import token_changes
from vlm.inspect.interventions import PATHS, Cut, Drop, Keep, Paste, Remove, Rescale, Shuffle
from vlm.inspect.projection import Colours, Projection, pca_colours, project
from vlm.pipeline.image import open_image
from vlm.records.patches import Patches, patchify, unpatchify
from vlm.records.text_tokens import TextTokens
from vlm.records.trace import (
    Alternative,
    Decoding,
    EncodedImage,
    ImageEmbedding,
    PatchScores,
    Similarity,
    Stage,
    Step,
    Trace,
    ZeroShot,
)
from vlm.records.visual_tokens import VisualTokens
from vlm.token_budget.ledger import TokenBudget, count_visual_tokens, count_visual_tokens_at

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vlm.contrastive.model import ContrastiveModel
    from vlm.pipeline.model import VisionLanguageModel
    from vlm.reports.saved_run import Replay

__all__ = [
    "LISTED",
    "MODELS",
    "PATHS",
    "TEMPLATES",
    "Alternative",
    "Colours",
    "Cut",
    "Decoding",
    "DecodingError",
    "Drop",
    "EncodedImage",
    "FetchError",
    "ImageEmbedding",
    "ImageError",
    "Keep",
    "Listed",
    "ListedModel",
    "ModelError",
    "Paste",
    "PatchScores",
    "Patches",
    "Progress",
    "Projection",
    "QuestionError",
    "Remove",
    "Rescale",
    "RunError",
    "Shuffle",
    "Similarity",
    "Stage",
    "Step",
    "TextTokens",
    "TokenBudget",
    "Trace",
    "VLMError",
    "VisualTokens",
    "ZeroShot",
    "assets",
    "count_visual_tokens",
    "count_visual_tokens_at",
    "decode_on",
    "findings",
    "is_out_of_memory",
    "load",
    "load_contrastive",
    "open_image",
    "patchify",
    "pca_colours",
    "project",
    "release_memory",
    "replay",
    "save_run",
    "storages",
    "token_changes",
    "unpatchify",
]


def load(
    name: str | os.PathLike,
    progress: Progress | None = None,
    *,
    four_bit: bool = False,
    make_room: Callable[[], None] | None = None,
) -> "VisionLanguageModel":
    """Load a vision-language model.

    Args:
        name: "embedded"; the folder of a checkpoint as transformers saves it (safetensors, with its
            processor); or OWNER/NAME of a model on the hub, with @REVISION if it should be a
            certain commit, branch or tag. A name of the hub stands for one commit: the one in
            `MODELS`, else the one that was the newest when it was first fetched; the model's own
            `name` tells it.
        progress: called with (fraction done, what is being done): assembling, fetching, reading.
        four_bit: weights in 4-bit by bitsandbytes, on an NVIDIA GPU: about a third of the memory,
            and not quite the same answers.
        make_room: called when everything is on this machine and known to be a model this program
            looks into, before what it needs
            is compared with what is free: the place to let another model go.

    Raises:
        ModelError: no such model, one this version cannot look into, or one that needs more memory
            than is free.
        FetchError: a file is missing and cannot be fetched.
    """
    from vlm.loading import load as loading

    return loading.load(name, progress, four_bit, make_room)


def decode_on(
    device: str, model: "VisionLanguageModel", trace: Trace, decoding: Decoding = Decoding()
) -> Iterator[Step]:
    """The answer to an encoded trace on another device, for a process that was forked to have it,
    as on a GPU that is lent for seconds.

    The model's weights move there, in this process, and stay there.
    """
    from vlm.loading import lending

    return lending.decode_on(device, model, trace, decoding)


def save_run(
    trace: Trace,
    folder: str | os.PathLike,
    model: "VisionLanguageModel",
    decoding: Decoding = Decoding(),
) -> Path:
    """Keep a run in a folder: `run.json` (model, revision, versions, question, decoding, answer),
    `run.safetensors` (x_p, X', VT, TT, VT + TT and the log-probability of each step, in float32)
    and the photos; the path of `run.json`.

    Args:
        model: the one that made the trace.
        decoding: the one that made its answer.

    Raises:
        RunError: the folder cannot be written.
        ImageError: a photo is too large to be kept.
    """
    from vlm.reports import saved_run

    return saved_run.save_run(trace, Path(folder), model, decoding)


def replay(
    path: str | os.PathLike, model: str | None = None, progress: Progress | None = None
) -> "Replay":
    """Repeat a saved run, and compare every number.

    Args:
        path: its `run.json`, or the folder with it.
        model: another name for the model, if it lies in another folder here.

    Raises:
        RunError: it is not a whole run, or one of its files is not the one that was saved.
        VLMError: as `load`, and as asking the question.
    """
    from vlm.reports import saved_run

    return saved_run.replay(
        Path(path), lambda name, four_bit: load(name, progress, four_bit=four_bit), model
    )


def release_memory() -> None:
    """Give back, on the CPU and on the GPU, what models that nothing refers to any more took."""
    from vlm.backends import memory

    memory.release()


def load_contrastive(
    name: str | os.PathLike, pretrained: str | None = None, progress: Progress | None = None
) -> "ContrastiveModel":
    """Load a contrastive pair of an image and a text tower.

    Args:
        name: "embedded", the folder of an open_clip checkpoint, or an open_clip model name such as
            "ViT-B-32".
        pretrained: with an open_clip name, which weights, such as "laion2b_s34b_b79k".

    Raises:
        ModelError: unknown name or weights, or weights that cannot be loaded.
        FetchError: a file of the embedded model is missing and cannot be fetched.
    """
    from vlm.contrastive import loading as contrastive_loading

    return contrastive_loading.load(name, pretrained, progress)
