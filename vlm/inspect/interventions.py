"""What can be changed in a run before it is answered again, as values that compose.

    look.rerun(Remove([3, 7]), Cut("picture", "question", layers=range(10, 15)))

Changes of visual tokens are made in the order in which they are given; cuts and drops then hold all
at once, while the changed tokens are read. Values only: `token_changes` changes the tokens,
`knockout` stands in the place of attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vlm.errors import ModelError
from vlm.inspect import token_changes
from vlm.records.trace import Trace

PATHS = {  # from whom to whom
    "picture → question": ("picture", "question"),
    "picture → template": ("picture", "template"),
    "picture → answer": ("picture", "answer"),
    "question → answer": ("question", "answer"),
    "picture → all after it": ("picture", "after"),
}


class TokenChange:
    """An intervention that changes VT."""

    def apply(self, trace: Trace) -> Trace:
        """Give the trace with its visual tokens changed, before its answer.

        Raises:
            ModelError: this trace's visual tokens cannot be changed so.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Remove(TokenChange):
    """Put something without content in the places of some visual tokens.

    Attributes:
        tokens: numbers of visual tokens, counted from 0.
        how: "mean", "zero", "noise" or "neighbour", see `token_changes.remove`.
        seed: of the noise.
    """

    tokens: Sequence[int]
    how: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))

    def apply(self, trace: Trace) -> Trace:
        """See `token_changes.remove`."""
        return token_changes.remove(trace, self.tokens, self.how, self.seed)


@dataclass(frozen=True)
class Keep(TokenChange):
    """Remove all visual tokens but some; the attributes are those of `Remove`."""

    tokens: Sequence[int]
    how: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))

    def apply(self, trace: Trace) -> Trace:
        """See `token_changes.keep`."""
        return token_changes.keep(trace, self.tokens, self.how, self.seed)


@dataclass(frozen=True)
class Paste(TokenChange):
    """Put visual tokens of another run in the places of some: those whose places are nearest."""

    tokens: Sequence[int]
    other: Trace = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))

    def apply(self, trace: Trace) -> Trace:
        """See `token_changes.paste`."""
        return token_changes.paste(trace, self.tokens, self.other)


@dataclass(frozen=True)
class Shuffle(TokenChange):
    """Put the visual tokens in another order, drawn with `seed`; marks between them stay."""

    seed: int = 0

    def apply(self, trace: Trace) -> Trace:
        """See `token_changes.shuffle`."""
        return token_changes.shuffle(trace, self.seed)


@dataclass(frozen=True)
class Rescale(TokenChange):
    """Make every visual token `factor` times as long, its direction kept."""

    factor: float

    def apply(self, trace: Trace) -> Trace:
        """See `token_changes.rescale`."""
        return token_changes.rescale(trace, self.factor)


@dataclass(frozen=True)
class Cut:
    """Hide one part of the sequence from another in some layers.

    Attributes:
        source: who is not read: "picture" or "question".
        target: who does not read: "question", "template" (what else stands after the picture),
            "answer", or "after" (all after the picture); `PATHS` has the pairs.
        layers: in which layers, without a gap, counted from 1: range(10, 15) is layers 10 to 14.
            None: in all.

    Raises:
        ModelError: there is no such path, or the layers are no window.
    """

    source: str
    target: str
    layers: range | None = None

    def __post_init__(self) -> None:
        if (self.source, self.target) not in PATHS.values():
            raise ModelError(
                f"There is no path {f'{self.source} → {self.target}'!r}; choose one of"
                f" {', '.join(PATHS)} (the last one is Cut('picture', 'after'))."
            )
        if self.layers is not None and self.layers.step != 1:
            raise ModelError(
                f"The layers are {self.layers}; give those of one window, without a gap, for"
                " example range(10, 15) for layers 10 to 14."
            )

    @staticmethod
    def along(path: str, layers: range | None = None) -> "Cut":
        """Cut a path by its name in `PATHS`, such as "picture → answer".

        Raises:
            ModelError: there is no such path, or the layers are no window.
        """
        if path not in PATHS:
            raise ModelError(f"There is no path {path!r}; choose one of {', '.join(PATHS)}.")
        return Cut(*PATHS[path], layers)

    def window(self, count: int) -> tuple[int, int]:
        """Give the first and the last layer of the cut in a language model of `count` layers.

        Raises:
            ModelError: they are none of these.
        """
        first, last = (
            (1, count) if self.layers is None else (self.layers.start, self.layers.stop - 1)
        )
        if not 1 <= first <= last <= count:
            raise ModelError(
                f"Layers {first} to {last} are no window; give two of the {count} layers, counted"
                " from 1, the earlier one first."
            )
        return first, last


@dataclass(frozen=True)
class Drop:
    """FastV: after `layer` nobody reads the `share` of the visual tokens that was looked at least
    in it by the prompt's last position, as it would have read without any cut.

    Attributes:
        layer: counted from 1.
        share: 0 to 1.
    """

    layer: int
    share: float = 0.5

    def check(self, count: int) -> None:
        """Refuse what a language model of `count` layers cannot drop.

        Raises:
            ModelError: there is no such layer or share.
        """
        if not 1 <= self.layer <= count or not 0 <= self.share <= 1:
            raise ModelError(
                f"Nothing can drop a share of {self.share} after layer {self.layer}; give a share"
                f" from 0 to 1 and one of the {count} layers, counted from 1."
            )


Intervention = TokenChange | Cut | Drop


def apply_changes(trace: Trace, interventions: Sequence[Intervention]) -> Trace:
    """Change the visual tokens, one change after the other; cuts and drops are left aside.

    Raises:
        ModelError: see each.
    """
    for each in interventions:
        trace = each.apply(trace) if isinstance(each, TokenChange) else trace
    return trace
