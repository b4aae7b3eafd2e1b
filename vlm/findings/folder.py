"""The same findings over a folder of photos: how often each is seen, with a confidence interval."""

import csv
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm.errors import ImageError, VLMError
from vlm.findings.finding import CANNOT, SEEN, Case, Fact, Finding
from vlm.findings.table import FACTS
from vlm.inspect.projection import components
from vlm.pipeline.image import open_image
from vlm.records.trace import EncodedImage

QUESTION = "What is in this image?"
# words of other photos; photos of one group for what is about several
ABSENT, GROUP, CONFIDENCE = 8, 10, 0.95
QUARTER = 0.25  # of the visual tokens at most count as the thing's


@dataclass(frozen=True)
class Photo:
    """A photo of a folder: its file, a label (or none) and a sentence (or none)."""

    path: Path
    label: str
    sentence: str


@dataclass(frozen=True)
class Rate:
    """How often a finding was seen.

    Attributes:
        seen: on so many photos (or groups of photos).
        tested: of so many on which it could be tested.
        low, high: the 95 % confidence interval of the share, Wilson's.
        untestable: how many photos (or groups) could not be tested.
        why: the most frequent reason.
    """

    fact: Fact
    seen: int
    tested: int
    low: float
    high: float
    untestable: int
    why: str

    @property
    def share(self) -> float:
        """Compute the share of the tested photos on which it was seen; NaN if none was tested."""
        return self.seen / self.tested if self.tested else float("nan")


def rate(fact: Fact, findings: Sequence[Finding]) -> Rate:
    """Count the verdicts on one finding."""
    from scipy.stats import binomtest

    seen, untestable = (
        sum(each.verdict == SEEN for each in findings),
        [each.sentence for each in findings if each.verdict == CANNOT],
    )
    tested = len(findings) - len(untestable)
    interval = (
        binomtest(seen, tested).proportion_ci(CONFIDENCE, method="wilson") if tested else None
    )
    why = Counter(untestable).most_common(1)[0][0] if untestable else ""
    return Rate(
        fact,
        seen,
        tested,
        interval.low if interval else float("nan"),
        interval.high if interval else float("nan"),
        len(untestable),
        why,
    )


def read(folder: Path, most: int, seed: int = 0) -> list[Photo]:
    """Up to `most` photos, drawn by chance: `images/` beside `labels.csv` (image,label) or
    `captions.csv` (image,caption), or folders of such.

    Raises:
        VLMError: there are none.
    """
    found: dict[Path, Photo] = {}
    for table in sorted(
        [
            *folder.glob("labels.csv"),
            *folder.glob("captions.csv"),
            *folder.glob("*/labels.csv"),
            *folder.glob("*/captions.csv"),
        ]
    ):
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                path = table.parent / "images" / row.get("image", "")
                known = found.get(path, Photo(path, "", ""))
                found[path] = Photo(
                    path,
                    known.label or row.get("label", ""),
                    known.sentence or row.get("caption", ""),
                )
    photos = sorted(
        (photo for photo in found.values() if photo.path.is_file()),
        key=lambda photo: str(photo.path),
    )
    if not photos:
        raise VLMError(
            f"There are no photos in {str(folder)!r}; give a folder with images/ and labels.csv"
            " (image,label) or captions.csv (image,caption), or a folder of such."
        )
    return random.Random(seed).sample(photos, min(most, len(photos)))


def foreground(encoded_image: EncodedImage) -> np.ndarray:
    """The visual tokens that most likely show the thing: the quarter that lies furthest along the
    patches' first principal component, on the side that is not the border's.
    """
    places = encoded_image.patches.places
    edge = np.zeros(len(places), bool)
    for number, picture in enumerate(encoded_image.patches.pictures):
        of = places[:, 0] == number
        edge |= of & (
            np.isin(places[:, 1], (0, picture.rows - 1))
            | np.isin(places[:, 2], (0, picture.columns - 1))
        )
    along = components(encoded_image.encoder_output, 1).points[:, 0]
    along = along if (along[edge] > 0).mean() <= 0.5 else -along
    sources = encoded_image.visual_tokens.sources
    made = sources >= 0
    mean = np.where(
        made.any(1), (along[sources] * made).sum(1) / np.maximum(made.sum(1), 1), -np.inf
    )
    furthest = np.argsort(-mean, kind="stable")[: max(1, round(QUARTER * len(mean)))]
    return np.sort(furthest[mean[furthest] > 0])


def rates(
    model: Any,
    folder: str | Path,
    contrast: Any = None,
    most: int = 100,
    seed: int = 0,
    facts: Sequence[Fact] = FACTS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Rate, ...]:
    """Test every finding on up to `most` photos of a folder.

    What is in a photo is its label; where it is, `foreground` guesses. Words for what is not there
    are labels of other photos. What is about several photos is tested on groups of ten. A photo
    that cannot be opened is left out.

    Args:
        progress: called with (photos done, photos).

    Raises:
        VLMError: there is no photo.
    """
    photos = read(Path(folder), most, seed)
    findings: dict[int, list[Finding]] = {fact.id: [] for fact in facts}
    for done, case in enumerate(cases(model, photos, contrast, seed)):
        for fact in facts:
            if not fact.of_several or case.pairs:
                findings[fact.id].append(fact.check(case))
        if progress:
            progress(done + 1, len(photos))
    return tuple(rate(fact, findings[fact.id]) for fact in facts)


def cases(model: Any, photos: Sequence[Photo], contrast: Any, seed: int = 0) -> Iterator[Case]:
    """Each photo as a case; the last of ten carries all ten with their sentences."""
    chance, labels, group = (
        random.Random(seed),
        sorted({photo.label for photo in photos if photo.label}),
        [],
    )
    for photo in photos:
        try:
            image = open_image(photo.path)
        except ImageError:
            continue
        sentence = photo.sentence or (f"a photo of a {photo.label}" if photo.label else "")
        group += [(image, sentence)] if sentence else []
        full = len(group) == GROUP
        trace = model.encode(image, QUESTION)
        others = [label for label in labels if label != photo.label]
        yield Case(
            model.inspect(trace),
            contrast,
            tokens=tuple(foreground(trace.encoded_image).tolist()) if photo.label else (),
            words=(photo.label,) if photo.label else (),
            absent=tuple(chance.sample(others, min(ABSENT, len(others)))) if photo.label else (),
            pairs=tuple(group) if full else (),
        )
        group = [] if full else group


def rate_table(found: Sequence[Rate]) -> str:
    """Write the rates in Markdown, one line a finding."""
    lines = [
        "| finding | seen | of | share (95 % interval) | could not be tested |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        share = f"{each.share:.2f} ({each.low:.2f} to {each.high:.2f})" if each.tested else "–"
        why = f"{each.untestable}: {each.why}" if each.untestable else ""
        lines.append(
            f"| {each.fact.id}. {each.fact.claim} | {each.seen} | {each.tested} | {share} | {why} |"
        )
    return "\n".join(lines)
