"""Published findings about visual tokens, each a row of data with its source and tolerance, tested
on a model and a photo.

    for finding in vlm.findings.check(model.inspect(trace), contrast, tokens=[100], words=["cat"]):
        print(finding.fact.id, finding.verdict, finding.sentence)

Nothing is bent to fit a paper: most findings come from larger models, and "not seen here" is an
answer. `python -m vlm findings FOLDER` asks the same of a folder of photos and gives rates with
confidence intervals.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from vlm.findings.finding import CANNOT, NOT_SEEN, SEEN, Case, Fact, Finding, Untestable
from vlm.findings.folder import Rate, rate_table, rates
from vlm.findings.table import FACTS

if TYPE_CHECKING:
    from vlm.inspect.inspector import Inspector

__all__ = [
    "CANNOT",
    "FACTS",
    "NOT_SEEN",
    "SEEN",
    "Case",
    "Fact",
    "Finding",
    "Rate",
    "Untestable",
    "check",
    "rate_table",
    "rates",
]


def check(
    look: "Inspector",
    contrast: Any = None,
    *,
    tokens: Sequence[int] = (),
    words: Sequence[str] = (),
    absent: Sequence[str] = (),
    pairs: Sequence[tuple[Image.Image, str]] = (),
    facts: Sequence[Fact] = FACTS,
) -> Iterator[Finding]:
    """Test the findings one by one.

    Args:
        look: the run under inspection, `model.inspect(trace)`.
        contrast: a contrastive model, for what is about those.
        tokens: the visual tokens that show the thing named first in `words`.
        words: what is in the photo.
        absent: what is not; by default everyday things that neither `words` nor the answer name.
        pairs: photos, each with a sentence about it.
    """
    case = Case(look, contrast, tuple(tokens), tuple(words), tuple(absent), tuple(pairs))
    return (fact.check(case) for fact in facts)
