"""What a published finding is, what it is tested on, and what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from vlm.errors import VLMError
from vlm.records.trace import Decoding, Step, Trace

if TYPE_CHECKING:
    from vlm.inspect.inspector import Inspector
    from vlm.pipeline.model import VisionLanguageModel

SEEN, NOT_SEEN, CANNOT = "seen here", "not seen here", "can't be tested with this model"
ANSWER = 16  # tokens of the answer that is compared


class Untestable(VLMError):
    """A finding cannot be tested here; the sentence says why, and what would help."""


@dataclass(frozen=True)
class Case:
    """One photo and question through one model, and what is known about the photo.

    Attributes:
        look: the run under inspection, with or without its answer; the answer that is compared is a
            greedy one of its own.
        contrast: as `vlm.load_contrastive` gives it; without it what is about contrastive models
            cannot be tested.
        tokens: the visual tokens that show the thing named first in `words`.
        words: what is in the photo.
        absent: what is not.
        pairs: photos, each with a sentence about it, for what takes several.
    """

    look: "Inspector"
    contrast: Any = None
    tokens: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    pairs: tuple[tuple[Image.Image, str], ...] = ()

    @property
    def model(self) -> "VisionLanguageModel":
        """The model that made the run."""
        return self.look.model

    @property
    def trace(self) -> Trace:
        """The run."""
        return self.look.trace

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The greedy answer."""
        return tuple(self.look.decode(decoding=Decoding(max_new_tokens=ANSWER)))

    def require_positions(self) -> None:
        """Refuse a model whose visual tokens have no positions in the sequence.

        Raises:
            ModelError: they stand in none.
        """
        _ = self.look.positions

    def chosen(self) -> tuple[int, ...]:
        """The tokens of the thing.

        Raises:
            Untestable: none are selected, or all.
        """
        if not self.tokens:
            raise Untestable(
                "This needs to know where the thing is: select its patches in the picture first."
            )
        if len(set(self.tokens)) == len(self.trace.visual_tokens.embeddings):
            raise Untestable(
                "All visual tokens are selected, so there is nothing to compare with; select only"
                " the thing's patches."
            )
        return self.tokens

    def word(self) -> str:
        """What the thing is called.

        Raises:
            Untestable: nothing was named.
        """
        if not self.words:
            raise Untestable("This needs to know what is in the photo: name the thing first.")
        return self.words[0]

    def inside(self) -> Bool[np.ndarray, " V"]:
        """Which visual tokens show the thing."""
        mask = np.zeros(len(self.trace.visual_tokens.embeddings), bool)
        mask[list(self.chosen())] = True
        return mask


Numbers = dict[str, float]
# whether it is seen, the numbers, and what they say in one sentence
Outcome = tuple[bool | np.bool_, Mapping[str, float | np.number], str]


@dataclass(frozen=True)
class Fact:
    """A published finding as one row of data.

    Attributes:
        id: its number in our list.
        claim: in one plain sentence.
        source: who found it, and in which models.
        tolerance: when it counts as seen here, in words; fixed by the claim, not by what our models
            give.
        test: raises `Untestable` where it cannot be asked.
        of_several: it is about many photos at once (`Case.pairs`), not about this one.
    """

    id: int
    claim: str
    source: str
    tolerance: str
    test: Callable[[Case], Outcome]
    of_several: bool = False

    def check(self, case: Case) -> "Finding":
        """Test it; what cannot be done here becomes a verdict too."""
        try:
            seen, numbers, sentence = self.test(case)
        except VLMError as error:
            return Finding(self, CANNOT, {}, str(error))
        return Finding(
            self,
            SEEN if seen else NOT_SEEN,
            {name: float(value) for name, value in numbers.items()},
            sentence,
        )


@dataclass(frozen=True)
class Finding:
    """What became of a published finding here.

    Attributes:
        verdict: "seen here", "not seen here" or "can't be tested with this model".
        numbers: by their names, in words.
        sentence: what they say; or why it cannot be tested.
    """

    fact: Fact
    verdict: str
    numbers: Numbers
    sentence: str

    @property
    def source(self) -> str:
        """Name who found it, and in which models."""
        return self.fact.source

    @property
    def tolerance(self) -> str:
        """Say in words when the finding counts as seen."""
        return self.fact.tolerance


def on_picture(step: Step, positions: np.ndarray) -> Float[np.ndarray, "layers V"] | None:
    """What a word looked at in the picture; None where it was not recorded."""
    return None if step.attention is None else step.attention[:, positions]


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The place of each value when sorted; equal values share the mean of theirs."""
    from scipy.stats import rankdata

    return rankdata(values).astype(float)


def rank_correlation(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    """Spearman's, 0 where one of them is constant."""
    one, other = ranks(np.asarray(one, float)), ranks(np.asarray(other, float))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
