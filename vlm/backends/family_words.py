"""The families in words, for whoever reads the documents: how each makes its picture, what its
connector does, where its places come from, and what was proven of it.
"""

from typing import NamedTuple


class Described(NamedTuple):
    """A system as the documents tell of it.

    Attributes:
        system: as people call it.
        kind: the `model_type` of its configuration; empty where it has no row.
        picture: how its picture is made of a photo.
        connector: what m_gamma does with the patches.
        places: what tells f_v where a patch lies.
        exact: what the tests prove of it, or why it is not there.
    """

    system: str
    kind: str
    picture: str
    connector: str
    places: str
    exact: str


DESCRIBED = (
    Described(
        "LLaVA-1.5, and LLaVA with SigLIP or DINOv2",
        "llava",
        "one square: cropped, squeezed or with a margin",
        "a token a patch (MLP)",
        "learned",
        "tested",
    ),
    Described(
        "Pixtral",
        "llava",
        "nearly its own shape and size",
        "a token a patch (MLP); the prompt marks the ends of rows",
        "rotary, 2-D",
        "tested",
    ),
    Described(
        "ViP-LLaVA",
        "vipllava",
        "one square",
        "a token a patch, of several layers of the encoder",
        "learned",
        "tested",
    ),
    Described(
        "LLaVA-NeXT",
        "llava_next",
        "the whole squeezed, and tiles of the photo in its shape",
        "a token a patch, the margin left out, a token at the end of each row",
        "learned",
        "tested",
    ),
    Described(
        "LLaVA-OneVision",
        "llava_onevision",
        "the same",
        "the same, thinned out above so many tiles",
        "learned",
        "tested",
    ),
    Described(
        "Idefics3",
        "idefics3",
        "tiles, then the whole squeezed",
        "s x s patches side by side become one token",
        "learned",
        "tested",
    ),
    Described("SmolVLM", "smolvlm", "the same", "the same", "learned", "tested"),
    Described(
        "Qwen2-VL",
        "qwen2_vl",
        "nearly its own shape and size",
        "2 x 2 patches become one token (MLP)",
        "rotary, 2-D",
        "tested",
    ),
    Described(
        "Qwen2.5-VL, its ViT of native resolution with windows",
        "qwen2_5_vl",
        "the same",
        "the same",
        "rotary, 2-D",
        "tested",
    ),
    Described(
        "Qwen3-VL",
        "qwen3_vl",
        "the same",
        "the same, and DeepStack: features of earlier layers, added inside the language model",
        "learned, stretched to the grid, and rotary",
        "tested",
    ),
    Described(
        "Qwen3-VL, mixture of experts",
        "qwen3_vl_moe",
        "the same",
        "the same",
        "learned and rotary",
        "tested",
    ),
    Described(
        "Qwen3.5",
        "qwen3_5",
        "the same",
        "2 x 2 patches become one token",
        "learned and rotary",
        "tested",
    ),
    Described(
        "Qwen3.5, mixture of experts",
        "qwen3_5_moe",
        "the same",
        "the same",
        "learned and rotary",
        "tested",
    ),
    Described(
        "InternVL 2 and 3, as transformers' own format has them (-hf)",
        "internvl",
        "tiles in the arrangement nearest to its shape, then the whole squeezed",
        "2 x 2 patches become one token (pixel shuffle, MLP)",
        "learned",
        "tested",
    ),
    Described(
        "PaliGemma",
        "paligemma",
        "one square, squeezed",
        "a token a patch (linear)",
        "learned",
        "tested; one photo",
    ),
    Described(
        "Gemma 3",
        "gemma3",
        "one square, squeezed",
        "the mean of 4 x 4 patches becomes one token",
        "learned",
        "tested",
    ),
    Described(
        "Mistral 3",
        "mistral3",
        "nearly its own shape and size",
        "2 x 2 patches become one token",
        "rotary, 2-D",
        "tested",
    ),
    Described("LightOnOCR", "lighton_ocr", "the same", "the same", "rotary, 2-D", "tested"),
    Described(
        "Aya Vision",
        "aya_vision",
        "tiles, then the whole squeezed",
        "2 x 2 patches become one token",
        "learned",
        "tested",
    ),
    Described(
        "Command A Vision",
        "cohere2_vision",
        "tiles, as many as enlarge it least, then the whole squeezed",
        "2 x 2 patches become one token",
        "learned",
        "tested",
    ),
    Described(
        "BLIP-2",
        "blip-2",
        "one square, squeezed",
        "Q-Former: learned queries that look at the whole photo; no token has a place",
        "learned",
        "tested; one photo",
    ),
    Described(
        "InstructBLIP",
        "instructblip",
        "the same",
        "Q-Former that reads the question too",
        "learned",
        "tested; one photo",
    ),
    Described(
        "KOSMOS-2",
        "kosmos-2",
        "one square, cropped",
        "a resampler: learned queries; no token has a place",
        "learned",
        "tested; one photo",
    ),
    Described(
        "FastVLM",
        "fast_vlm",
        "one square",
        "a token for each place of its last, smallest map",
        "none: convolutions",
        (
            "tested; it mixes far places, so boxes are proven to follow, not to be the only"
            " ones that count"
        ),
    ),
    Described(
        "Llama 3.2 Vision",
        "mllama",
        "a canvas of up to four tiles, black below or beside",
        (
            "a token a patch, and CLS of each tile; **read by cross-attention**: none "
            "stands in the sequence"
        ),
        "learned, by tile",
        "tested; the lenses of the layers, which read positions, say that there are none",
    ),
    Described(
        "any other kind that transformers loads",
        "",
        "by an image processor that this program follows",
        "m x m patches become one token",
        "as found",
        (
            "worked out from the loaded model and proven on two photos, or declined with "
            "what could not be"
        ),
    ),
    Described(
        "Cambrian-1",
        "",
        "several encoders",
        "a spatial aggregator of learned queries",
        "",
        "not yet: not in transformers",
    ),
    Described(
        "Eagle 2.5",
        "",
        "tiles",
        "MLP",
        "",
        "not yet: not in transformers, its checkpoints ask for code of their own",
    ),
    Described(
        "OMG-LLaVA",
        "",
        "one square",
        "object-guided visual tokens, of a segmenter's queries",
        "",
        "not yet: not in transformers",
    ),
    Described(
        "Sa2VA",
        "",
        "as InternVL or Qwen",
        "MLP, with SAM 2 beside it",
        "",
        "not yet: not in transformers, its checkpoints ask for code of their own",
    ),
)
