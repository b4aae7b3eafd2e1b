"""Did what is lit matter? The check that stands beside every map.

A map of attention or relevancy says where a word looked. Whether it needed what it looked at is
another question, and is asked here: the lit visual tokens are replaced by the mean visual token,
and so are as many that were drawn by chance; only if the word loses more by the first than by the
second has the map found something ("Attention is not Explanation", Jain and Wallace, 2019).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vlm.errors import ModelError
from vlm.inspect.token_changes import remove
from vlm.records.trace import Trace

SHARE = 0.1  # of the visual tokens count as lit


@dataclass(frozen=True)
class AblationCheck:
    """What a word loses in log-probability (nats; below 0 where it loses).

    Attributes:
        tokens: the visual tokens that were replaced.
        lit: the change without them.
        random: the change without as many that were drawn by chance, once a draw.
    """

    tokens: tuple[int, ...]
    lit: float
    random: Float[np.ndarray, " draws"]

    @property
    def mean(self) -> float:
        """Of the draws."""
        return float(self.random.mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the draws; 0 if there is one only."""
        return float(self.random.std(ddof=1)) if len(self.random) > 1 else 0.0

    @property
    def mattered(self) -> bool:
        """The word loses without the lit tokens, and more than without any that were drawn."""
        return bool(self.lit < min(0.0, self.random.min()))


def lit(values: Float[np.ndarray, " V"], share: float = SHARE) -> tuple[int, ...]:
    """The visual tokens with the highest values of a map, at least one, the highest first."""
    return tuple(
        int(token)
        for token in np.argsort(-values, kind="stable")[: max(1, round(share * len(values)))]
    )


def check(
    score: Callable[[Trace], float],
    trace: Trace,
    tokens: Sequence[int],
    draws: int = 5,
    seed: int = 0,
) -> AblationCheck:
    """Replace the lit tokens, and `draws` times as many others (of all, where there are too few
    others); 2 + `draws` short passes in all.

    Args:
        score: the word's log-probability under a trace.

    Raises:
        ModelError: no token, or a token that is not there.
    """
    chosen = sorted({int(token) for token in tokens})
    if not chosen:
        raise ModelError(
            "No visual token is lit, so there is nothing to check; choose a map first."
        )
    before = score(trace)
    loss = score(remove(trace, chosen)) - before
    count = len(trace.visual_tokens.embeddings)
    others = np.setdiff1d(np.arange(count), chosen)
    pool = others if len(others) >= len(chosen) else np.arange(count)
    generator = np.random.default_rng(seed)
    random = [
        score(remove(trace, generator.choice(pool, len(chosen), replace=False).tolist())) - before
        for _ in range(draws)
    ]
    return AblationCheck(tuple(chosen), loss, np.array(random))
