"""Visual Token Explorer's library: image and text in, frozen records out, every stage of the pipeline in between.

    import vlm

    model = vlm.load("embedded")
    trace = model.trace(image, "What is in this image?")

The dimension key, obeyed everywhere: N patches of the encoder · V visual tokens · T text tokens · S positions of the fused
sequence · F encoder width · D language-model width · P side of a patch · C colour channels · H W pixels.

Importing this package loads neither torch nor transformers; `load` and `load_contrastive` do.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vlm import experiments
from vlm.catalogue import LISTED, TEMPLATES, Listed
from vlm.connector import VisualTokens
from vlm.errors import DecodingError, FetchError, ImageError, ModelError, QuestionError, VLMError
from vlm.images import open_image
from vlm.token_ledger import Spending, ledger
from vlm.patches import Patches, patchify, unpatchify
from vlm.projection import Colours, Projection, pca_colours, project
from vlm.records import Alternative, Decoding, ImageEmbedding, PatchScores, Sight, Similarity, Stage, Step, Trace, ZeroShot
from vlm.store import Progress
from vlm.text_tokens import TextTokens

if TYPE_CHECKING:
    from vlm.contrastive import ContrastiveModel
    from vlm.model import VisionLanguageModel

__all__ = [
    "Alternative", "Colours", "Decoding", "DecodingError", "FetchError", "ImageEmbedding", "ImageError", "LISTED", "Listed", "ModelError", "PatchScores", "Patches", "Progress", "Projection",
    "QuestionError", "Sight", "Similarity", "Spending", "Stage", "Step", "TEMPLATES", "TextTokens", "Trace", "VLMError", "VisualTokens", "ZeroShot", "experiments", "ledger", "load", "load_contrastive", "open_image", "patchify",
    "pca_colours", "project", "unpatchify",
]  # fmt: skip


def load(name: str | os.PathLike, progress: Progress | None = None) -> "VisionLanguageModel":
    """Load a vision-language model.

    Args:
        name: "embedded", or the folder of a LLaVA checkpoint as transformers saves it (safetensors, with its processor).
        progress: called with (fraction done, what is being done) while the embedded model is assembled for the first time.

    Raises:
        ModelError: no such folder, or a checkpoint this version cannot look into.
        FetchError: a file of the embedded model is missing and cannot be fetched.
    """
    from vlm import architecture, embedded
    from vlm.model import VisionLanguageModel

    folder = embedded.language_checkpoint(progress) if name == "embedded" else Path(name)
    if not (folder / "config.json").is_file():
        raise ModelError(f"There is no model {str(name)!r}; give 'embedded' or the folder of a LLaVA checkpoint (with config.json in it).")
    return VisionLanguageModel(str(name), *architecture.load_checkpoint(folder))


def load_contrastive(name: str | os.PathLike, pretrained: str | None = None, progress: Progress | None = None) -> "ContrastiveModel":
    """Load a contrastive pair of an image and a text tower.

    Args:
        name: "embedded", the folder of an open_clip checkpoint, or an open_clip model name such as "ViT-B-32".
        pretrained: with an open_clip name, which weights, such as "laion2b_s34b_b79k".

    Raises:
        ModelError: unknown name or weights, or weights that cannot be loaded.
        FetchError: a file of the embedded model is missing and cannot be fetched.
    """
    from vlm import contrastive

    return contrastive.load(name, pretrained, progress)
