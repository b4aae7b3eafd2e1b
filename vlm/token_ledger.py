"""How many visual tokens a photo of any size costs each family of models, and why. No weights, no photo, no inference.

The counts come from the processors' own rules (`_get_num_multimodal_tokens` of transformers, made for servers that plan ahead), set to
what the named checkpoints publish in their `preprocessor_config.json`. What a processor counts beside visual tokens (markers, row
breaks) is taken off again, so that every number means the same: positions of the sequence that hold a piece of the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from vlm.errors import ImageError

MARKS = (
    "<image>", "<video>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<start_of_image>", "<end_of_image>", "<image_soft_token>",
    "<img>", "</img>", "<IMG_CONTEXT>", "<fake_token_around_image>", "<global-img>", "[IMG]", "[IMG_BREAK]", "[IMG_END]",
)  # fmt: skip
MOST = 8_192  # pixels on a side


@dataclass(frozen=True)
class Family:
    """One family, by a checkpoint that publishes these settings.

    Attributes:
        make: its processor, without a vocabulary worth the name.
        why: (processor, height, width, tokens) -> the reason for the count, in words.
        mark: the placeholder in the prompt, and in the sequence.
        others: (processor, height, width) -> how many of the processor's count are markers and no piece of the picture.
        compared: among the four whose curves Nulli draws in "The Hidden Inefficiency in Vision Language Modelling".
    """

    name: str
    checkpoint: str
    make: Callable[[], object]
    why: Callable[[object, int, int, int], str]
    prompt: str = "<image>"
    mark: str = "<image>"
    others: Callable[[object, int, int], int] = lambda processor, height, width: 0
    compared: bool = False


@dataclass(frozen=True)
class Spending:
    """What one family spends on one photo: visual tokens, and why; and whether it is one of the four that are often drawn together."""

    family: str
    checkpoint: str
    tokens: int
    why: str
    compared: bool


def ledger(height: int, width: int) -> tuple[Spending, ...]:
    """Every family's visual tokens for a photo of height x width pixels.

    Raises:
        ImageError: there are no such photos.
    """
    for name, value in (("height", height), ("width", width)):
        if not isinstance(value, int) or not 1 <= value <= MOST:
            raise ImageError(f"The {name} is {value!r}; give a whole number of pixels from 1 to {MOST:,}.")
    return tuple(_spend(family, height, width) for family in FAMILIES)


def _spend(family: Family, height: int, width: int) -> Spending:
    processor = _processor(family.name)
    tokens = _visual_tokens(processor, family, height, width)
    return Spending(family.name, family.checkpoint, tokens, family.why(processor, height, width, tokens), family.compared)


def _visual_tokens(processor, family: Family, height: int, width: int) -> int:
    """The processor's own count, without markers."""
    if not hasattr(processor, "_get_num_multimodal_tokens"):
        return processor.num_query_tokens
    return _positions(processor, height, width) - family.others(processor, height, width)


def _positions(processor, height: int, width: int) -> int:
    return processor._get_num_multimodal_tokens([(height, width)])["num_image_tokens"][0]


@cache
def _processor(name: str):
    return next(family for family in FAMILIES if family.name == name).make()


def _tokenizer(**named):
    """A tokenizer that knows the markers and nothing else: the rules ask for no more."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["<pad>", "<bos>", "<eos>", "<unk>", *MARKS, *(f"<row_{row}_col_{column}>" for row in range(1, 13) for column in range(1, 13))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(vocabulary)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", **named)


def _transformers():
    from vlm.compat import ensure_torchvision

    ensure_torchvision()
    import transformers

    return transformers


def _llava():
    tf = _transformers()
    images = tf.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    return tf.LlavaProcessor(images, _tokenizer(), patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1)


def _llava_next():
    tf = _transformers()
    pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    images = tf.LlavaNextImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, image_grid_pinpoints=pinpoints)
    return tf.LlavaNextProcessor(images, _tokenizer(), patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1)


def _llava_onevision():
    tf = _transformers()
    pinpoints = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
    images = tf.LlavaOnevisionImageProcessor(size={"height": 384, "width": 384}, image_grid_pinpoints=pinpoints)
    return tf.LlavaOnevisionProcessor(
        images, _tokenizer(), tf.LlavaOnevisionVideoProcessor(), num_image_tokens=729, vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_9"
    )


def _qwen2_5_vl():
    tf = _transformers()
    images = tf.Qwen2VLImageProcessor(patch_size=14, merge_size=2, size={"shortest_edge": 56 * 56, "longest_edge": 14 * 14 * 4 * 16384})
    return tf.Qwen2_5_VLProcessor(images, _tokenizer(), tf.Qwen2VLVideoProcessor())


def _qwen3_vl():
    tf = _transformers()
    images = tf.Qwen2VLImageProcessor(patch_size=16, merge_size=2, size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096})
    return tf.Qwen3VLProcessor(images, _tokenizer(), tf.Qwen3VLVideoProcessor())


def _internvl3():
    tf = _transformers()
    marks = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    images = tf.GotOcr2ImageProcessor(size={"height": 448, "width": 448}, crop_to_patches=True, min_patches=1, max_patches=12)
    return tf.InternVLProcessor(images, _tokenizer(extra_special_tokens=marks), tf.InternVLVideoProcessor(), image_seq_length=256)


def _smolvlm():
    tf = _transformers()
    images = tf.Idefics3ImageProcessor(size={"longest_edge": 2048}, max_image_size={"longest_edge": 512})
    return tf.Idefics3Processor(images, _tokenizer(), image_seq_len=64)


def _gemma3():
    tf = _transformers()
    marks = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    return tf.Gemma3Processor(tf.Gemma3ImageProcessor(size={"height": 896, "width": 896}), _tokenizer(extra_special_tokens=marks), image_seq_length=256)


def _paligemma2():
    tf = _transformers()
    images = tf.SiglipImageProcessor(size={"height": 224, "width": 224})
    images.image_seq_length = 256
    return tf.PaliGemmaProcessor(images, _tokenizer())


def _pixtral():
    tf = _transformers()
    return tf.PixtralProcessor(tf.PixtralImageProcessor(size={"longest_edge": 1024}, patch_size={"height": 16, "width": 16}), _tokenizer(), patch_size=16)


def _blip_2():
    tf = _transformers()
    return tf.Blip2Processor(tf.BlipImageProcessor(size={"height": 224, "width": 224}), _tokenizer(), num_query_tokens=32)


def _fixed(words: str):
    return lambda processor, height, width, tokens: words


def _anyres(processor, height: int, width: int, tokens: int) -> str:
    from transformers.image_processing_utils import select_best_resolution

    images = processor.image_processor
    rows, columns = select_best_resolution((height, width), images.image_grid_pinpoints)
    side = images.size.get("shortest_edge") or images.size["height"]
    return (
        f"the photo fills {rows // side} x {columns // side} tiles of {side} x {side} pixels best; their tokens without the padding, one newline token a row, and once the whole photo"
    )


def _onevision(processor, height: int, width: int, tokens: int) -> str:
    return _anyres(processor, height, width, tokens) + "; beyond nine tiles' worth the tokens are thinned out"


def _native(processor, height: int, width: int, tokens: int) -> str:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    images = processor.image_processor
    unit = images.patch_size * images.merge_size
    tall, wide = smart_resize(height, width, unit, images.size["shortest_edge"], images.size["longest_edge"])
    return f"resized to {wide} x {tall} pixels, near its own size and shape; {tall // unit} x {wide // unit} squares of {unit} x {unit}: {images.merge_size} x {images.merge_size} patches become one token"


def _tiles(processor, height: int, width: int, tokens: int) -> str:
    count = tokens // processor.image_seq_length
    return f"{count} picture{'s' if count > 1 else ''} of 448 x 448 pixels (tiles of nearly the photo's shape{', and once the whole photo' if count > 1 else ''}), {processor.image_seq_length} tokens each: 2 x 2 patches become one"


def _split(processor, height: int, width: int, tokens: int) -> str:
    count, side = tokens // processor.image_seq_len, processor.image_processor.max_image_size["longest_edge"]
    return f"enlarged, cut into {count - 1} pictures of {side} x {side} pixels, and once the whole photo; {processor.image_seq_len} tokens each: 4 x 4 patches become one"


def _rows(processor, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of Pixtral's patches, by transformers' own resizing rule."""
    from transformers.models.pixtral.image_processing_pixtral import get_resize_output_image_size

    images, patch = processor.image_processor, processor.patch_size
    longest = images.size["longest_edge"]
    shape = np.broadcast_to(np.uint8(0), (height, width, 3))  # the rule wants a picture, but only its size
    tall, wide = get_resize_output_image_size(shape, size=(longest, longest), patch_size=(patch, patch))
    return tall // patch, wide // patch


def _rotary(processor, height: int, width: int, tokens: int) -> str:
    rows, columns = _rows(processor, height, width)
    return f"at most 1,024 pixels on a side, in its own shape: {rows} x {columns} patches, each a token (row breaks between them are extra)"


FAMILIES = (
    Family("LLaVA-1.5", "llava-hf/llava-1.5-7b-hf", _llava, _fixed("always 336 x 336 pixels: 24 x 24 patches, each a token"), compared=True),
    Family("LLaVA-NeXT", "llava-hf/llava-v1.6-mistral-7b-hf", _llava_next, _anyres),
    Family("LLaVA-OneVision", "llava-hf/llava-onevision-qwen2-7b-ov-hf", _llava_onevision, _onevision, compared=True),
    Family("BLIP-2", "Salesforce/blip2-opt-2.7b", _blip_2, _fixed("always 32 queries, which look at the whole photo; none has a place of its own"), "What is this?"),
    Family("PaliGemma 2", "google/paligemma2-3b-pt-224", _paligemma2, _fixed("always 224 x 224 pixels: 16 x 16 patches, each a token")),
    Family("Gemma 3", "google/gemma-3-4b-it", _gemma3, _fixed("always 896 x 896 pixels: 64 x 64 patches, of which 4 x 4 become one token"), "<start_of_image>", "<image_soft_token>", compared=True),
    Family("Qwen2.5-VL", "Qwen/Qwen2.5-VL-3B-Instruct", _qwen2_5_vl, _native, "<|image_pad|>", "<|image_pad|>"),
    Family("Qwen3-VL", "Qwen/Qwen3-VL-2B-Instruct", _qwen3_vl, _native, "<|image_pad|>", "<|image_pad|>", compared=True),
    Family("InternVL3", "OpenGVLab/InternVL3-1B-hf", _internvl3, _tiles, "<IMG_CONTEXT>", "<IMG_CONTEXT>", lambda processor, height, width: 2),
    Family("SmolVLM", "HuggingFaceTB/SmolVLM-256M-Instruct", _smolvlm, _split, others=lambda processor, height, width: _positions(processor, height, width) % processor.image_seq_len),
    Family("Pixtral", "mistral-community/pixtral-12b", _pixtral, _rotary, "[IMG]", "[IMG]", lambda processor, height, width: _rows(processor, height, width)[0]),
)
