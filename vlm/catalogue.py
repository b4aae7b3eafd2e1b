"""Contrastive models worth trying, for whoever offers a choice. Names only: nothing is loaded here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """A pair of towers that open_clip knows: millions of parameters (both towers) and the licence of its weights."""

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


# More sentences about one label than one say better what is meant: their mean is a prompt ensemble (Radford et al., 2021).
TEMPLATES = ("a photo of a {}", "a picture of a {}", "a close-up of a {}", "a {} in the distance", "there is a {} in the picture", "one {}")
