"""How many visual tokens a photo of any size costs each family of models, and why.

No weights, no photo, no inference.

The counts come from the processors' own rules (mostly `_get_num_multimodal_tokens` of transformers,
made for servers that plan ahead), set to what the named checkpoints publish (see `published`). What
a processor counts beside visual tokens (markers, row breaks) is taken off again, so that every
number means the same: positions of the sequence that hold a piece of the picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from vlm.errors import ImageError
from vlm.token_budget import published

MOST = 8_192  # pixels on a side


@dataclass(frozen=True)
class Family:
    """One family, by a checkpoint that publishes these settings.

    Attributes:
        kind: its `model_type`, the key of its row in `vlm.backends.families`.
        make: its processor.
        why: (processor, height, width, tokens) -> the reason for the count, in words.
        prompt: what makes its processor leave room for a picture.
        mark: the placeholder in the sequence.
        others: (processor, height, width, count) -> how many of the processor's count are markers
            and no piece of the picture.
        count: (processor, height, width) -> visual tokens, where the processor does not plan ahead.
        compared: among the four whose curves Nulli draws in "The Hidden Inefficiency in Vision
            Language Modelling".
    """

    name: str
    kind: str
    checkpoint: str
    make: Callable[[], object]
    why: Callable[[object, int, int, int], str]
    prompt: str = "<image>"
    mark: str = "<image>"
    others: Callable[[object, int, int, int], int] = lambda processor, height, width, count: 0
    count: Callable[[object, int, int], int] | None = None
    compared: bool = False


@dataclass(frozen=True)
class TokenBudget:
    """What one family spends on one photo: visual tokens (0: it takes no such photo), and why; and
    whether it is one of the four that are often drawn together.
    """

    family: str
    checkpoint: str
    tokens: int
    why: str
    compared: bool


def count_visual_tokens(height: int, width: int) -> tuple[TokenBudget, ...]:
    """Every family's visual tokens for a photo of height x width pixels.

    Raises:
        ImageError: there are no such photos.
    """
    [spent] = count_visual_tokens_at([(height, width)])
    return spent


def count_visual_tokens_at(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[TokenBudget, ...], ...]:
    """The same of several sizes (height, width), for each of them.

    Every processor is asked once.
    """
    for size in sizes:
        for name, value in zip(("height", "width"), size):
            if not isinstance(value, int) or not 1 <= value <= MOST:
                raise ImageError(
                    f"The {name} is {value!r}; give a whole number of pixels from 1 to {MOST:,}."
                )
    return tuple(zip(*(_spend(family, sizes) for family in FAMILIES)))


def _spend(family: Family, sizes: Sequence[tuple[int, int]]) -> list[TokenBudget]:
    processor = _processor(family.name)

    def spending(tokens: int, why: str) -> TokenBudget:
        return TokenBudget(family.name, family.checkpoint, tokens, why, family.compared)

    try:
        counts = zip(sizes, _visual_tokens(processor, family, sizes), strict=True)
        return [spending(tokens, family.why(processor, *size, tokens)) for size, tokens in counts]
    except ValueError as error:  # Qwen's refuse what is 200 times as long as wide
        return (
            [spending(0, f"takes no photo of this shape ({error})")]
            if len(sizes) == 1
            else [spent for size in sizes for spent in _spend(family, [size])]
        )


def _visual_tokens(processor, family: Family, sizes: Sequence[tuple[int, int]]) -> list[int]:
    """The processor's own counts, without markers."""
    if family.count:
        return [family.count(processor, height, width) for height, width in sizes]
    counts = processor._get_num_multimodal_tokens(list(sizes))["num_image_tokens"]
    return [
        count - family.others(processor, height, width, count)
        for (height, width), count in zip(sizes, counts, strict=True)
    ]


@cache
def _processor(name: str):
    return next(family for family in FAMILIES if family.name == name).make()


def _fixed(words: str):
    return lambda processor, height, width, tokens: words


def _anyres(processor, height: int, width: int, tokens: int) -> str:
    from transformers.image_processing_utils import select_best_resolution

    images = processor.image_processor
    rows, columns = select_best_resolution((height, width), images.image_grid_pinpoints)
    side = images.size.get("shortest_edge") or images.size["height"]
    return (
        f"the photo fills {rows // side} x {columns // side} tiles of {side} x {side} pixels best;"
        " their tokens without the padding, one newline token a row, and once the whole photo"
    )


def _onevision(processor, height: int, width: int, tokens: int) -> str:
    return (
        _anyres(processor, height, width, tokens)
        + "; beyond nine tiles' worth the tokens are thinned out"
    )


def _native(processor, height: int, width: int, tokens: int) -> str:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    images = processor.image_processor
    unit = images.patch_size * images.merge_size
    tall, wide = smart_resize(
        height, width, unit, images.size["shortest_edge"], images.size["longest_edge"]
    )
    return (
        f"resized to {wide} x {tall} pixels, near its own size and shape; {tall // unit} x"
        f" {wide // unit} squares of {unit} x {unit}: {images.merge_size} x {images.merge_size}"
        " patches become one token"
    )


def _tiles(processor, height: int, width: int, tokens: int) -> str:
    side = processor.image_processor.size["height"]
    each = (
        getattr(processor, "image_seq_length", 0)
        or (getattr(processor, "img_size", 0) // processor.patch_size) ** 2
        or processor.patch_size**2
    )
    count = tokens // each
    return (
        f"{count} picture{'s' if count > 1 else ''} of {side} x {side} pixels (tiles of nearly the"
        f" photo's shape{', and once the whole photo' if count > 1 else ''}), {each} tokens each: 2"
        " x 2 patches become one"
    )


def _split(merge: int, processor, height: int, width: int, tokens: int) -> str:
    count, side = (
        tokens // processor.image_seq_len,
        processor.image_processor.max_image_size["longest_edge"],
    )
    return (
        f"enlarged, cut into {count - 1} pictures of {side} x {side} pixels, and once the whole"
        f" photo; {processor.image_seq_len} tokens each: {merge} x {merge} patches become one"
    )


def _in_shape(processor, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of tokens, by transformers' own resizing rule for Pixtral's encoder."""
    from transformers.image_utils import ChannelDimension
    from transformers.models.pixtral.image_processing_pixtral import get_resize_output_image_size

    longest, unit = (
        processor.image_processor.size["longest_edge"],
        processor.image_processor.patch_size["height"],
    )
    # the rule wants a picture, but only its size; one 1 or 3 pixels high it would read sideways
    shape = np.broadcast_to(np.uint8(0), (height, width, 3))
    tall, wide = get_resize_output_image_size(
        shape,
        size=(longest, longest),
        patch_size=(unit, unit),
        input_data_format=ChannelDimension.LAST,
    )
    return tall // unit, wide // unit


def _rotary(processor, height: int, width: int, tokens: int) -> str:
    rows, columns = _in_shape(processor, height, width)
    longest, unit, patch = (
        processor.image_processor.size["longest_edge"],
        processor.image_processor.patch_size["height"],
        processor.patch_size,
    )
    what = (
        "patches, each a token"
        if unit == patch
        else (
            f"squares of {unit} x {unit}, in which {unit // patch} x {unit // patch} patches become"
            " one token"
        )
    )
    return (
        f"at most {longest:,} pixels on a side, in its own shape: {rows} x {columns} {what} (row"
        " breaks between them are extra)"
    )


def _around_tiles(each: int) -> Callable[[object, int, int, int], int]:
    """One mark a tile of `each` tokens, and two around them all."""
    return lambda processor, height, width, count: 2 + (count - 2) // (each + 1)


def _canvas(processor, height: int, width: int) -> int:
    """Tiles of Llama 3.2 Vision that hold a piece of the photo: its canvas is as many as it has."""
    from transformers.models.mllama.image_processing_mllama import get_optimal_tiled_canvas

    side = processor.size["height"]
    tall, wide = get_optimal_tiled_canvas(height, width, processor.max_image_tiles, side)
    return int(tall // side) * int(wide // side)


def _tile_tokens(processor) -> int:
    """A token a patch of 14 x 14 pixels, and CLS."""
    return (processor.size["height"] // 14) ** 2 + 1


def _crossed(processor, height: int, width: int, tokens: int) -> str:
    count, side = _canvas(processor, height, width), processor.size["height"]
    return (
        f"a canvas of {count} tile{'s' if count > 1 else ''} of {side} x {side} pixels,"
        f" {_tile_tokens(processor):,} tokens each: {side // 14} x {side // 14} patches and CLS."
        " They cost no place in the sequence: read by cross-attention"
    )


_SQUEEZED = _fixed("always 336 x 336 pixels: 24 x 24 patches, each a token")
_QWEN: dict[str, Any] = dict(why=_native, prompt="<|image_pad|>", mark="<|image_pad|>")
# counted by the rule itself: the processors' own plan reads 1 or 3 pixels of height sideways
_MARKS: dict[str, Any] = dict(
    prompt="[IMG]",
    mark="[IMG]",
    count=lambda processor, height, width: math.prod(_in_shape(processor, height, width)),
)
_QUERIES: dict[str, Any] = dict(
    prompt="What is this?", count=lambda processor, height, width: processor.num_query_tokens
)
_QUERIED = _fixed("always 32 queries, which look at the whole photo; none has a place of its own")
_SEPARATORS: dict[str, Any] = dict(
    others=lambda processor, height, width, count: count % processor.image_seq_len
)

FAMILIES = (
    Family(
        "LLaVA-1.5", "llava", "llava-hf/llava-1.5-7b-hf", published.llava, _SQUEEZED, compared=True
    ),
    Family("ViP-LLaVA", "vipllava", "llava-hf/vip-llava-7b-hf", published.llava, _SQUEEZED),
    Family(
        "LLaVA-NeXT",
        "llava_next",
        "llava-hf/llava-v1.6-mistral-7b-hf",
        published.llava_next,
        _anyres,
    ),
    Family(
        "LLaVA-OneVision",
        "llava_onevision",
        "llava-hf/llava-onevision-qwen2-7b-ov-hf",
        published.llava_onevision,
        _onevision,
        compared=True,
    ),
    Family("BLIP-2", "blip-2", "Salesforce/blip2-opt-2.7b", published.blip, _QUERIED, **_QUERIES),
    Family(
        "InstructBLIP",
        "instructblip",
        "Salesforce/instructblip-vicuna-7b",
        published.blip,
        _QUERIED,
        **_QUERIES,
    ),
    Family(
        "KOSMOS-2",
        "kosmos-2",
        "microsoft/kosmos-2-patch14-224",
        published.kosmos_2,
        _fixed("always 64 queries, which look at the whole photo; none has a place of its own"),
        count=lambda configuration, height, width: configuration.latent_query_num,
    ),
    Family(
        "PaliGemma 2",
        "paligemma",
        "google/paligemma2-3b-pt-224",
        published.paligemma,
        _fixed("always 224 x 224 pixels: 16 x 16 patches, each a token"),
    ),
    Family(
        "Gemma 3",
        "gemma3",
        "google/gemma-3-4b-it",
        published.gemma3,
        _fixed("always 896 x 896 pixels: 64 x 64 patches, of which 4 x 4 become one token"),
        "<start_of_image>",
        "<image_soft_token>",
        compared=True,
    ),
    Family(
        "FastVLM",
        "fast_vlm",
        "KamilaMila/FastVLM-0.5B",
        published.fast_vlm,
        _fixed(
            "always 1,024 x 1,024 pixels: convolutions make 16 x 16 places of them, each a token"
        ),
    ),
    Family("Qwen2-VL", "qwen2_vl", "Qwen/Qwen2-VL-2B-Instruct", published.qwen2_5_vl, **_QWEN),
    Family(
        "Qwen2.5-VL", "qwen2_5_vl", "Qwen/Qwen2.5-VL-3B-Instruct", published.qwen2_5_vl, **_QWEN
    ),
    Family(
        "Qwen3-VL",
        "qwen3_vl",
        "Qwen/Qwen3-VL-2B-Instruct",
        published.qwen3_vl,
        compared=True,
        **_QWEN,
    ),
    Family(
        "Qwen3-VL, mixture of experts",
        "qwen3_vl_moe",
        "Qwen/Qwen3-VL-30B-A3B-Instruct",
        published.qwen3_vl,
        **_QWEN,
    ),
    Family("Qwen3.5", "qwen3_5", "Qwen/Qwen3.5-27B", published.qwen3_vl, **_QWEN),
    Family(
        "Qwen3.5, mixture of experts",
        "qwen3_5_moe",
        "Qwen/Qwen3.5-35B-A3B",
        published.qwen3_vl,
        **_QWEN,
    ),
    Family(
        "InternVL3",
        "internvl",
        "OpenGVLab/InternVL3-1B-hf",
        published.internvl,
        _tiles,
        "<IMG_CONTEXT>",
        "<IMG_CONTEXT>",
        lambda processor, height, width, count: 2,
    ),
    Family(
        "Aya Vision",
        "aya_vision",
        "CohereLabs/aya-vision-8b",
        published.aya_vision,
        _tiles,
        mark="<|IMG_PATCH|>",
        others=_around_tiles(169),
    ),
    Family(
        "Command A Vision",
        "cohere2_vision",
        "CohereLabs/command-a-vision-07-2025",
        published.cohere2_vision,
        _tiles,
        "<|IMG_PATCH|>",
        "<|IMG_PATCH|>",
        _around_tiles(256),
    ),
    Family(
        "Idefics3",
        "idefics3",
        "HuggingFaceM4/Idefics3-8B-Llama3",
        lambda: published.idefics(1456, 364, 169),
        partial(_split, 2),
        **_SEPARATORS,
    ),
    Family(
        "SmolVLM",
        "smolvlm",
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        lambda: published.idefics(2048, 512, 64),
        partial(_split, 4),
        **_SEPARATORS,
    ),
    Family(
        "Pixtral",
        "llava",
        "mistral-experimental/pixtral-12b",
        lambda: published.pixtral(1024, 16),
        _rotary,
        **_MARKS,
    ),
    Family(
        "Mistral 3",
        "mistral3",
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        lambda: published.pixtral(1540, 14, 2),
        _rotary,
        **_MARKS,
    ),
    Family(
        "LightOnOCR",
        "lighton_ocr",
        "lightonai/LightOnOCR-1B-1025",
        published.lighton_ocr,
        _rotary,
        **_MARKS,
    ),
    Family(
        "Llama 3.2 Vision",
        "mllama",
        "meta-llama/Llama-3.2-11B-Vision-Instruct",
        published.mllama,
        _crossed,
        count=lambda processor, height, width: (
            _canvas(processor, height, width) * _tile_tokens(processor)
        ),
    ),
)
