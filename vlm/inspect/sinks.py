"""Sinks: positions at which attention is parked whatever is asked, and which say nothing about the
place they stand for.

They are why a corner of every map may be lit (asked about at Qwen3-VL, #1551 and #2047).

Two kinds, which are not the same (Luo et al., "To Sink or Not to Sink", 2025):

* in the language model: one or a few dimensions of a position's vector become huge, the same ones
  as in the first token of the prompt, and most heads look there when they have nothing to read.
  Kang et al., "See What You Are Told: Visual Attention Sink in Large Multimodal Models", 2025: a
  position is one if phi(x) = max over these dimensions of |x_d| / RMS(x) is at least tau = 20 in a
  LLaMA of width 4,096. A vector all in one dimension has phi = sqrt(D), so tau is scaled by sqrt(D
  / 4096). In a small model all positions may carry such a dimension; a sink must also stand out
  from the median position of its layer.
* in the vision encoder: patches of a much greater length than the others, which carry the whole
  photo rather than their place (Darcet et al., "Vision Transformers Need Registers", 2023).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vlm.records.visual_tokens import VisualTokens

TAU, WIDTH = 20.0, 4096  # Kang et al., for LLaMA-2-7B
STANDS_OUT = 3.0  # times the median position of the layer
OUTLIER = 3.0  # times the median length of the patches of a layer


@dataclass(frozen=True)
class Sinks:
    """Attributes:
    dimensions: of the language model's vectors; huge in the first token. Empty where the model has
    none.
    tau: what phi was compared with.
    phi: how many times the root mean square of a vector its largest of these dimensions is; row k
    is the output of layer k.
    found: where a position is a sink; a row of it tells what layer k + 1 reads.
    tokens: the visual tokens that are sinks after some layer.
    positions: all positions that are, in the sequence.
    encoder_tokens: the visual tokens made of a patch that stands out in the vision encoder's layers
    that the connector reads.
    """

    dimensions: tuple[int, ...]
    tau: float
    phi: Float[np.ndarray, "layers S"]
    found: Bool[np.ndarray, "layers S"]
    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    encoder_tokens: tuple[int, ...]

    def why(self, token: int, position: int) -> str:
        """One sentence: why this visual token is lit whatever is asked; empty if it is no sink."""
        if token in self.tokens:
            layers = np.flatnonzero(self.found[:, position])
            strongest = self.phi[layers, position].max()
            named = " and ".join(str(dimension) for dimension in self.dimensions)
            return (
                f"Token {token} is a sink of the language model: after layers {layers[0]} to"
                f" {layers[-1]} dimension {named} of its vector is up to {strongest:.0f} times the"
                " usual size of its numbers, as in the first token of the prompt"
                f" ({self.phi[:, 0].max():.0f} times). Attention is parked there; it says nothing"
                " about this place."
            )
        if token in self.encoder_tokens:
            return (
                f"Token {token} stands out in the vision encoder: its patch feature is more than"
                f" {OUTLIER:g} times as long as the usual one. Such tokens carry something of the"
                " whole photo rather than of their place."
            )
        return ""


def find(
    hidden: Float[np.ndarray, "layers S D"],
    visual: VisualTokens,
    patch_features: Float[np.ndarray, "read N width"],
    tau: float | None = None,
) -> Sinks:
    """Find both kinds.

    Args:
        hidden: the language model's states as `model.hidden_states` gives them: what goes in, then
            the output of every layer, the last one after the final norm (which is left out here:
            the norm changes the dimensions).
        patch_features: the patches after those layers of the encoder that the connector reads; no
            layer where that is unknown.
        tau: None scales the published one to this width.
    """
    states = hidden[:-1]
    tau = TAU * (hidden.shape[2] / WIDTH) ** 0.5 if tau is None else tau
    # layers x S, float64 for one layer at a time
    size = np.stack(
        [np.maximum(np.sqrt(np.square(rows, dtype=np.float64).mean(1)), 1e-12) for rows in states]
    )
    huge: Counter[int] = Counter()
    for layer in range(1, len(states)):
        first = np.abs(states[layer, 0])
        candidates = np.flatnonzero(first >= tau * size[layer, 0])
        huge.update(
            int(d)
            for d in candidates
            if first[d] >= STANDS_OUT * np.median(np.abs(states[layer, :, d]))
        )
    most = max(huge.values(), default=0)
    dimensions = tuple(sorted(dimension for dimension, count in huge.items() if 2 * count >= most))
    phi, found = np.zeros(states.shape[:2], np.float32), np.zeros(states.shape[:2], bool)
    if dimensions:
        of = np.abs(states[..., list(dimensions)])  # layers x S x dimensions
        phi = (of.max(2) / size).astype(np.float32)
        # the same dimension is both
        found = (
            (of >= tau * size[..., None])
            & (of >= STANDS_OUT * np.median(of, axis=1, keepdims=True))
        ).any(2)
        found[0] = False  # what goes in has passed no layer
    positions = visual.positions if visual.positions is not None else np.zeros(0, int)
    return Sinks(
        dimensions=dimensions,
        tau=float(tau),
        phi=phi,
        found=found,
        tokens=tuple(np.flatnonzero(found[:, positions].any(0)).tolist()),
        positions=tuple(np.flatnonzero(found.any(0)).tolist()),
        encoder_tokens=outliers(visual, patch_features),
    )


def outliers(
    visual: VisualTokens, patch_features: Float[np.ndarray, "read N width"]
) -> tuple[int, ...]:
    """The visual tokens made of a patch whose length is over `OUTLIER` times the median in one of
    these layers.
    """
    if not patch_features.size:
        return ()
    norms = np.linalg.norm(patch_features, axis=2)
    high = (norms > OUTLIER * np.median(norms, axis=1, keepdims=True)).any(0)
    return tuple(np.flatnonzero((high[visual.sources] & (visual.sources >= 0)).any(1)).tolist())
