"""The contextual lens: which phrases bring the language model to a state like that of a visual
token.

The idea is LatentLens (Krojer et al., 2026, arXiv 2602.00462): a token inside the language model is
compared with the states that words have in the middle of a phrase, at several layers, instead of
with words alone. An index holds those states of many short phrases. It is made for one set of
weights, by

    python -m vlm index --model embedded

and refused by every other model. An index is a safetensors file: 8-bit numbers, one scale for each
dimension, a few MB.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from vlm.embedded.shipped import assets
from vlm.errors import ModelError, VLMError
from vlm.inspect.phrases import phrases

FORMAT = "contextual-lens-1"
SHIPPED = assets() / "embedded" / "contextual_lens.safetensors"
# the layers that are kept, as shares of all: LatentLens finds visual tokens nearest to middle
# layers
DEPTHS = (0.125, 0.25, 0.5, 0.75)
SAMPLE = 256  # numbers of each weight that the fingerprint reads
# float16 keeps smaller weights less exactly than bfloat16: they are left out of the fingerprint
TINY = 1e-4
BATCH = 32  # phrases at once

# a phrase, its cosine, and the layer at which its last word is that near
Nearest = tuple[str, float, int]


@dataclass(frozen=True)
class ContextualIndex:
    """What the last words of many phrases are inside one language model.

    Attributes:
        weights: the fingerprint of the language model that it was made with.
        layers: which layers are kept; 1 is the first, and the last one is never among them (the
            model norms it).
        phrases: in the order of the states.
        states: unit vectors in units of `scales`.
        scales: of each dimension at each layer.
    """

    weights: str
    layers: tuple[int, ...]
    phrases: tuple[str, ...]
    states: Int8[np.ndarray, "kept phrases D"]
    scales: Float[np.ndarray, "kept D"]

    def nearest(
        self, rows: Float[np.ndarray, "rows D"], count: int = 5
    ) -> tuple[tuple[Nearest, ...], ...]:
        """For each row the `count` phrases whose last word has, at any of the kept layers, the most
        similar state.

        Holds one layer of the index (phrases x D) and rows x phrases cosines in float32 at a time.
        """
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        best, layer = (
            np.full((len(rows), len(self.phrases)), -np.inf, np.float32),
            np.zeros((len(rows), len(self.phrases)), int),
        )
        for number, states, scales in zip(self.layers, self.states, self.scales, strict=True):
            table = states * scales
            cosines = (
                rows @ (table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)).T
            )
            layer[cosines > best] = number
            best = np.maximum(best, cosines)
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        return tuple(
            tuple((self.phrases[at], float(best[row, at]), int(layer[row, at])) for at in places)
            for row, places in enumerate(order)
        )


def fingerprint(model: Any) -> str:
    """A hash that tells one language model's weights from another's, whatever number format they
    are loaded in: of the name, the shape and some numbers of each weight.
    """
    import torch

    from vlm.backends import text_model

    digest = hashlib.sha256()
    for name, weight in text_model.language_trunk(model.network).named_parameters():
        flat = weight.detach().reshape(-1)
        sample = flat[:: max(1, len(flat) // SAMPLE)].to("cpu", torch.float32)
        sample = torch.where(sample.abs() < TINY, 0.0, sample).to(torch.bfloat16).view(torch.int16)
        digest.update(f"{name} {tuple(weight.shape)} ".encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def build(
    model: Any,
    texts: Sequence[str],
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> ContextualIndex:
    """Read every phrase as text alone and keep its last word at a few layers.

    Holds the states of 32 phrases at all layers at a time.

    Raises:
        ModelError: there is no phrase, or this language model cannot read text alone.
    """
    import torch

    from vlm.backends import architecture, text_model
    from vlm.backends.device import to_numpy

    texts = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not texts:
        raise ModelError(
            "There is no phrase to make an index of; give a file with one phrase a line."
        )
    if architecture.family(model.network).crossed:
        raise ModelError(
            "This model reads its visual tokens by cross-attention; none has a state inside the"
            " language model that phrases could be compared with."
        )
    trunk, tokenizer = text_model.language_trunk(model.network), model.processor.tokenizer
    layers = tuple(
        sorted(
            {
                min(max(1, round(depth * model.language_layers)), max(1, model.language_layers - 1))
                for depth in DEPTHS
            }
        )
    )
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            ids = [words_of(tokenizer, text) for text in texts[start : start + BATCH]]
            longest = max(map(len, ids))
            padded = torch.tensor(
                [each + [0] * (longest - len(each)) for each in ids], device=model.network.device
            )
            mask = torch.tensor(
                [[1] * len(each) + [0] * (longest - len(each)) for each in ids],
                device=model.network.device,
            )
            hidden = trunk(
                input_ids=padded, attention_mask=mask, use_cache=False, output_hidden_states=True
            ).hidden_states
            last = mask.sum(1) - 1
            rows.append(
                np.stack(
                    [
                        to_numpy(hidden[layer][torch.arange(len(ids), device=last.device), last])
                        for layer in layers
                    ]
                )
            )
            progress(
                min(1.0, (start + BATCH) / len(texts)),
                f"{min(start + BATCH, len(texts)):,} of {len(texts):,} phrases",
            )
    states = np.concatenate(rows, axis=1)
    states /= np.maximum(np.linalg.norm(states, axis=2, keepdims=True), 1e-9)
    scales = np.maximum(np.abs(states).max(1), 1e-12) / 127
    return ContextualIndex(
        fingerprint(model),
        layers,
        texts,
        np.rint(states / scales[:, None]).astype(np.int8),
        scales.astype(np.float32),
    )


def words_of(tokenizer: Any, text: str) -> list[int]:
    """A phrase as text alone, up to its last word: some tokenizers write an end after it."""
    ids, special = list(tokenizer(text)["input_ids"]), set(tokenizer.all_special_ids)
    while len(ids) > 1 and ids[-1] in special:
        ids.pop()
    return ids


def save(index: ContextualIndex, path: Path, **about: str) -> None:
    """Write an index and, in the file's metadata, what it was made of."""
    from safetensors.numpy import save_file

    metadata = {
        "format": FORMAT,
        "weights": index.weights,
        "layers": json.dumps(index.layers),
        "phrases": json.dumps(index.phrases),
        **about,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"states": index.states, "scales": index.scales}, path, metadata)


def place(model: Any) -> Path:
    """Where the index of a model is looked for: beside the embedded model's parts, or in the cache
    directory.
    """
    from vlm.hub.store import cache_directory

    return (
        SHIPPED
        if model.name == "embedded"
        else cache_directory() / "contextual_lens" / f"{fingerprint(model)[:16]}.safetensors"
    )


def load(model: Any, path: Path | None = None) -> ContextualIndex:
    """The index of a model.

    Raises:
        ModelError: there is none, the file is no index, or it was made with other weights.
    """
    path = path or place(model)
    if not path.is_file():
        raise ModelError(
            f"There is no index of phrases for this model yet; make one with: {command(model)}"
        )
    index = _read(path, path.stat().st_mtime_ns)
    if index.weights != fingerprint(model):
        raise ModelError(
            f"The index of phrases {path.name} was made with other weights than this model's, so"
            f" its words would mislead; make it anew with: {command(model)}"
        )
    return index


def command(model: Any) -> str:
    """What to type for an index of this model."""
    name = str(model.name)
    return (
        f"python -m vlm index --model {name if name.isascii() and ' ' not in name else repr(name)}"
    )


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> ContextualIndex:
    """`changed` is the file's time, so that a new file is read anew."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            if about.get("format") != FORMAT:
                raise ModelError(
                    f"{path} is no index of phrases of this version; make one with: python -m"
                    " vlm index"
                )
            states, scales = file.get_tensor("states"), file.get_tensor("scales")
        return ContextualIndex(
            about["weights"],
            tuple(json.loads(about["layers"])),
            tuple(json.loads(about["phrases"])),
            states,
            scales,
        )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        if isinstance(error, VLMError):
            raise
        raise ModelError(
            f"{path} is damaged ({str(error).splitlines()[0]}); make it anew with: python -m"
            " vlm index"
        ) from error


def write_index(
    name: str,
    texts: str | Path | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> str:
    """Make the index of phrases for a model, write it, and say what was written.

    Args:
        name: what `vlm.load` takes.
        texts: a file of phrases, one a line; our own by default.
        seed: of our own phrases.
        out: where it goes; by default where the lens looks for this model's.

    Raises:
        VLMError: no such model, or a file that cannot be read or written.
    """
    import transformers

    import vlm

    try:
        model = vlm.load(name)
        texts = Path(texts) if texts else None
        lines = texts.read_text(encoding="utf-8").splitlines() if texts else phrases(seed)
        index = build(model, lines, progress)
        out = Path(out) if out else place(model)
        made_of = {
            "texts": texts.name if texts else f"vlm/inspect/phrases.py, seed {seed}",
            "model": str(name),
            "transformers": transformers.__version__,
        }
        if name == "embedded":
            from vlm.embedded.assembly import PARTS
            from vlm.hub.store import sha256

            made_of["parts"] = sha256(PARTS / "vlm.safetensors")
        save(index, out, **made_of)
    except OSError as error:
        raise VLMError(
            f"{error.filename}: {error.strerror}; give a file that can be read, and a place that"
            " can be written."
        ) from error
    return (
        f"{len(index.phrases):,} phrases at layers {', '.join(map(str, index.layers))}: {out}"
        f" ({out.stat().st_size / 1e6:.1f} MB)"
    )
