"""Loading a contrastive pair: the embedded one, a folder, a model of the hub, or one of open_clip's
list with the settings that its weights were trained with.

The one file that loads through open_clip.
"""

import json
from pathlib import Path
from urllib.error import URLError

import httpx
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError

from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import exact_placement
from vlm.backends.towers import ClassAndPatches
from vlm.contrastive.model import ContrastiveModel
from vlm.errors import FetchError, ModelError
from vlm.hub.store import Progress

ensure_torchvision()

import open_clip

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


def load(name: str | Path, pretrained: str | None, progress: Progress | None) -> ContrastiveModel:
    """See `vlm.load_contrastive`."""
    if name == "embedded":
        from vlm.embedded import assembly

        return _load_embedded(assembly.contrastive_checkpoint(progress))
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
    settings = {}
    if pretrained:
        quick = uses_quick_gelu(name, pretrained)
        settings = {"force_quick_gelu": quick, "quick_gelu": quick}
    try:
        network, _, preprocess = open_clip.create_model_and_transforms(
            name,
            pretrained=pretrained,
            weights_only=True,
            require_pretrained=True,
            **settings,
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


def uses_quick_gelu(name: str, pretrained: str) -> bool:
    """Whether weights of open_clip's list were trained with QuickGELU, x * sigmoid(1.702 x), in
    place of GELU: as their own entry says, and where it says nothing, the model's configuration.

    open_clip itself goes by the configuration and only warns: the first CLIPs and others have
    another activation than their configuration.
    """
    of_the_model = open_clip.get_model_config(name).get("quick_gelu", False)
    return bool(open_clip.get_pretrained_cfg(name, pretrained).get("quick_gelu", of_the_model))


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
