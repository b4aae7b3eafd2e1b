"""Models worth trying, for whoever offers a choice. Data only: nothing is loaded here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """A pair of towers that open_clip knows: millions of parameters (both towers) and the licence
    of its weights.
    """

    name: str
    pretrained: str
    parameters: int
    licence: str


# The first two are the article's example; the sizes are counted in tests/vlm/test_contrastive.py.
LISTED = (
    Listed("ViT-B-32", "openai", 151, "MIT"),
    Listed("ViT-L-14-336", "openai", 428, "MIT"),
    Listed("ViT-B-32", "laion2b_s34b_b79k", 151, "MIT"),
    Listed("ViT-B-16-SigLIP", "webli", 203, "Apache-2.0"),
    Listed("ViT-B-16-SigLIP2", "webli", 375, "Apache-2.0"),
    Listed("MobileCLIP-S1", "datacompdr", 85, "Apple, for research"),
)


@dataclass(frozen=True)
class ListedModel:
    """A vision-language model on the hub.

    Attributes:
        name: OWNER/NAME.
        kind: the `model_type` of its configuration.
        parameters: in millions, rounded.
        licence: of its weights.
        gated: whether its licence has to be accepted on the hub before anything is sent.
        revision: the commit that is used; None: whichever is the newest when it is first fetched,
            and from then on that one.
    """

    name: str
    kind: str
    parameters: int
    licence: str
    gated: bool = False
    revision: str | None = None

    @property
    def gigabytes(self) -> float:
        """Memory for the weights in bfloat16, in units of 10^9 bytes.

        What runs beside them takes about a fifth more.
        """
        return self.parameters * 2 / 1000

    @property
    def gigabytes_four_bit(self) -> float:
        """The same in 4-bit: half a byte a parameter and its scales.

        Embeddings and head stay as they are, which is why small models gain less.
        """
        return self.parameters * 0.7 / 1000


# Compared with the hub's pages: licences as they name them (FastVLM's: as Apple's original does),
# commits as they or others' pinned lists show them. Sizes are of the weight files, where tied
# embeddings are held once.
MODELS = (
    ListedModel(
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        "idefics3",
        256,
        "Apache-2.0",
        revision="7e3e67edbbed1bf9888184d9df282b700a323964",
    ),
    ListedModel(
        "HuggingFaceTB/SmolVLM-500M-Instruct",
        "idefics3",
        507,
        "Apache-2.0",
        revision="a7da5b986cb59b408707209984f360a5f4ad7e47",
    ),
    ListedModel(
        "KamilaMila/FastVLM-0.5B",
        "fast_vlm",
        620,
        "Apple, for research",
        revision="2d7bc6dd5c1f5d7bafa99812f45b4db689209e50",
    ),
    ListedModel(
        "llava-hf/llava-interleave-qwen-0.5b-hf",
        "llava",
        864,
        "Tongyi Qianwen, for research",
        revision="08647831752d66cc51831ff4f2a476de6ba2af9c",
    ),
    ListedModel(
        "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
        "llava_onevision",
        894,
        "Apache-2.0",
        revision="74dd0bf867a4cda7950c17663794267c60cf4b40",
    ),
    ListedModel(
        "OpenGVLab/InternVL3-1B-hf",
        "internvl",
        938,
        "Qwen",
        revision="014c0583a0d4bedf29fbe2dbff4f865eb998e171",
    ),
    ListedModel(
        "Qwen/Qwen3-VL-2B-Instruct",
        "qwen3_vl",
        2_128,
        "Apache-2.0",
        revision="89644892e4d85e24eaac8bacfd4f463576704203",
    ),
    ListedModel(
        "google/paligemma2-3b-mix-224",
        "paligemma",
        3_032,
        "Gemma",
        gated=True,
        revision="8e40ab4cc5df93dfb7fd2fff754bcdff8b62ee78",
    ),
    ListedModel(
        "Salesforce/blip2-opt-2.7b",
        "blip-2",
        3_745,
        "MIT",
        revision="59a1ef6c1e5117b3f65523d1c6066825bcf315e3",
    ),
    ListedModel(
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "qwen2_5_vl",
        3_755,
        "Qwen, for research",
        revision="66285546d2b821cf421d4f5eb2576359d3770cd3",
    ),
    ListedModel(
        "google/gemma-3-4b-it",
        "gemma3",
        4_300,
        "Gemma",
        gated=True,
        revision="093f9f388b31de276ce2de164bdc2081324b9767",
    ),
    ListedModel(
        "llava-hf/llava-1.5-7b-hf",
        "llava",
        7_063,
        "Llama 2",
        revision="b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
    ),
    ListedModel(
        "meta-llama/Llama-3.2-11B-Vision-Instruct",
        "mllama",
        10_670,
        "Llama 3.2",
        gated=True,
        revision="9eb2daaa8597bf192a8b0e73f848f3a102794df5",
    ),
    ListedModel(
        "mistral-experimental/pixtral-12b",
        "llava",
        12_683,
        "Apache-2.0",
        revision="c2756cbbb9422eba9f6c5c439a214b0392dfc998",
    ),
)


# More sentences about one label than one say better what is meant: their mean is a prompt ensemble
# (Radford et al., 2021).
TEMPLATES = (
    "a photo of a {}",
    "a picture of a {}",
    "a close-up of a {}",
    "a {} in the distance",
    "there is a {} in the picture",
    "one {}",
)
