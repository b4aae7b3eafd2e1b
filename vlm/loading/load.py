"""From a name to a model: the embedded one, a folder, or one of the hub; checked before anything
large is fetched or read.
"""

import json
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from vlm.backends import architecture, checkpoint_settings, memory
from vlm.backends.text_model import check_attention
from vlm.embedded import assembly
from vlm.errors import ModelError
from vlm.hub import fetch
from vlm.hub.store import Progress
from vlm.loading import infer_family
from vlm.pipeline import patches
from vlm.pipeline.model import VisionLanguageModel

FETCHED = 0.9  # of the progress; the rest is reading
ALLOWED = (
    "'embedded', the folder of a checkpoint (with config.json in it), or OWNER/NAME of a model on"
    " the hub"
)


def load(
    name: str | os.PathLike,
    progress: Progress | None,
    four_bit: bool,
    make_room: Callable[[], None] | None,
) -> VisionLanguageModel:
    """See `vlm.load`."""
    told = progress or (lambda fraction, words: None)
    folder, full_name = _folder(name, told, four_bit)
    check_kind(full_name, _configuration(folder))
    if make_room:
        make_room()
    plan = memory.plan(full_name, folder, four_bit)
    told(FETCHED, f"reading {full_name}: {memory.gigabytes(plan.bytes)} of memory")
    model = VisionLanguageModel(full_name, *architecture.load_checkpoint(folder, plan))
    if not architecture.has_rows(model.network):
        told(
            1 - (1 - FETCHED) / 4,
            f"{full_name} is of a kind without a row: working out where its parts are, and"
            " proving it",
        )
        infer_family.work_out(model)
    else:
        checkpoint_settings.complete_processor(model.network, model.processor, folder)
    return model


def _folder(name: str | os.PathLike, told: Progress, four_bit: bool) -> tuple[Path, str]:
    """Where the files of a model are, fetched if need be, and its full name."""
    if name == "embedded":
        return (
            assembly.language_checkpoint(lambda fraction, words: told(FETCHED * fraction, words)),
            "embedded",
        )
    text, path = str(name), Path(name)
    try:
        there = path.exists()
    except (OSError, ValueError):  # too long for a name, a null character
        there = False
    if there and (path / "config.json").is_file():
        return path, text
    reference = None if there or isinstance(name, Path) else fetch.Reference.of(text)
    if reference is None:
        raise ModelError(f"There is no model {text!r}; give {ALLOWED}.")

    def check(configuration: dict, weights: int) -> None:
        check_kind(text, configuration)
        memory.check_ever(text, weights // _itemsize(configuration), four_bit)

    folder, commit = fetch.fetch(
        reference, check, lambda fraction, words: told(FETCHED * fraction, words)
    )
    return folder, f"{reference.name}@{commit}"


def _configuration(folder: Path) -> dict:
    """Read a checkpoint's config.json.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        configuration = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The config.json of {str(folder)!r} cannot be read; copy it again."
        ) from error
    if not isinstance(configuration, dict):
        raise ModelError(
            f"The config.json of {str(folder)!r} holds no configuration; copy it again."
        )
    return configuration


def _itemsize(configuration: dict) -> int:
    """Bytes of a stored weight, by what the configuration says; 2 where it says nothing."""
    return {"float32": 4, "float64": 8}.get(
        str(configuration.get("dtype") or configuration.get("torch_dtype")).removeprefix("torch."),
        2,
    )


def check_kind(name: str, configuration: dict) -> None:
    """Whether a checkpoint is of a kind this program looks into or may work out, by its
    configuration alone.

    Raises:
        ModelError: it is not, and why.
    """
    from transformers.models.auto.image_processing_auto import (
        IMAGE_PROCESSOR_MAPPING_NAMES as processors,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as known,
    )

    kind = configuration.get("model_type")
    _check_language(name, configuration)
    check_transformers(name, configuration)
    if kind in architecture.FAMILIES:
        return
    allowed = f"this version looks into {', '.join(architecture.FAMILIES)} models"
    if kind in known:
        followed = [each for each in (processors.get(kind) or {}).values() if each]
        if followed and not any(patches.kind_of(each) in patches.PICTURES for each in followed):
            raise ModelError(
                f"{name!r} is a {kind} model, whose {followed[0]} this version does not follow; it"
                " can be opened once it has a row, see 'How to add a family' in"
                " assets/docs/models.md."
            )
        return
    if configuration.get("auto_map"):
        raise ModelError(
            f"{name!r} asks for code of its own to be run, which is never done; look for a copy in"
            " transformers' own format, often with -hf at the end of its name."
        )
    raise ModelError(
        f"{name!r} is a {kind!r} model, which does not read images and text in transformers;"
        f" {allowed}."
    )


def check_transformers(name: str, configuration: dict) -> None:
    """Refuse a checkpoint that the transformers at hand computes wrongly or not at all.

    Raises:
        ModelError: before 5.21 transformers cuts the visual tokens of SmolVLM into blocks of as
            many as a patch has pixels a side, which fails where a tile has another number of them.
    """
    at_hand = metadata.version("transformers")
    if configuration.get("model_type") != "smolvlm" or Version(at_hand) >= Version("5.21"):
        return
    from transformers import SmolVLMConfig

    settings = SmolVLMConfig(**configuration)
    vision = settings.vision_config
    tokens = (vision.image_size // vision.patch_size // settings.scale_factor) ** 2
    if tokens % vision.patch_size:
        raise ModelError(
            f"{name!r} has {tokens} visual tokens a tile, and transformers {at_hand} reads SmolVLM"
            f" only with a multiple of {vision.patch_size}; install transformers 5.21 or newer."
        )


def _check_language(name: str, configuration: dict) -> None:
    """Refuse a checkpoint whose language model's attention cannot be read.

    Raises:
        ModelError: the language model has an encoder of its own, or an attention that cannot be
            read.
    """
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    text = configuration.get("text_config")
    kind = text.get("model_type") if isinstance(text, dict) else None
    if kind not in CONFIG_MAPPING:
        return  # its own class says what it is when it is there
    settings = CONFIG_MAPPING[kind]
    if text.get("is_encoder_decoder", settings().is_encoder_decoder):
        raise ModelError(
            f"{name!r} has a language model of the kind {kind}, an encoder and a decoder: the"
            " picture is read by the one and the answer written by the other, and this version"
            " looks into decoders alone. Of BLIP-2 take a checkpoint with OPT, of InstructBLIP one"
            " with Vicuna, or another family."
        )
    if settings in MODEL_MAPPING:
        check_attention(MODEL_MAPPING[settings])
