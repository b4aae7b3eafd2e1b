"""Contrastive pairs of open_clip: what their names and tags say, at which both are read."""

from tests.published.records import PublishedPair, Source

_CLIP = dict(
    resize="shortest",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
_SIGLIP = dict(
    quick_gelu=False,
    resize="squash",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    bias=-10.0,
    context=64,
)


def _sources(name: str) -> tuple[Source, ...]:
    return (
        Source("sides, patch, bias, context, tokenizer", f"open_clip model_configs/{name}.json"),
        Source("activation, preprocessing", "open_clip pretrained.py"),
    )


PAIRS = (
    PublishedPair(
        "ViT-B-32", "openai", _sources("ViT-B-32"), side=224, patch=32, quick_gelu=True, **_CLIP
    ),
    PublishedPair(
        "ViT-L-14-336",
        "openai",
        _sources("ViT-L-14-336"),
        side=336,
        patch=14,
        quick_gelu=True,
        **_CLIP,
    ),
    PublishedPair(
        "ViT-B-32",
        "laion2b_s34b_b79k",
        _sources("ViT-B-32"),
        side=224,
        patch=32,
        quick_gelu=False,
        **_CLIP,
    ),
    PublishedPair(
        "ViT-B-16-SigLIP",
        "webli",
        _sources("ViT-B-16-SigLIP"),
        side=224,
        patch=16,
        tokenizer="unigram",
        **_SIGLIP,
    ),
    PublishedPair(
        "ViT-B-16-SigLIP2",
        "webli",
        _sources("ViT-B-16-SigLIP2"),
        side=224,
        patch=16,
        tokenizer="mark",
        **_SIGLIP,
    ),
    PublishedPair(
        "ViT-SO400M-14-SigLIP-384",
        "webli",
        _sources("ViT-SO400M-14-SigLIP-384"),
        side=384,  # 27 x 27 patches of 14 x 14: six pixels are in none
        patch=14,
        tokenizer="unigram",
        **_SIGLIP,
    ),
    PublishedPair(
        "MobileCLIP-S1",
        "datacompdr",
        _sources("MobileCLIP-S1"),
        side=256,
        patch=None,
        quick_gelu=False,
        resize="shortest",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
)
