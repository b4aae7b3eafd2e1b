"""What a visitor asks of a run, as one record: photos, question, model, decoding, plane."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import vlm

from .checks import MAX_QUESTION, MAX_TOGETHER, plain, text, whole
from .models import Choice

# in the order of the controls
SETTINGS = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "max_new_tokens")
PLANE = ("method", "dimensions", "projection_seed", "neighbours", "metric")


@dataclasses.dataclass(frozen=True)
class Plane:
    """How tokens are laid out; the settings beside the method matter to UMAP and t-SNE alone."""

    method: str = "pca"
    dimensions: int = 2
    seed: int = 0
    neighbours: int = 15
    metric: str = "cosine"

    @classmethod
    def of(
        cls, method: str, dimensions: int, seed: float | None, neighbours: float | None, metric: str
    ) -> "Plane":
        """The controls' values.

        Raises:
            vlm.VLMError: one is not to be had.
        """
        numbers = {"seed": whole(seed, "seed"), "neighbours": whole(neighbours, "neighbours")}
        for name, (least, most) in {"seed": (0, 2**31 - 1), "neighbours": (2, 200)}.items():
            if not least <= numbers[name] <= most:
                raise vlm.VLMError(
                    f"{name} is {numbers[name]}; give a whole number from {least} to {most}."
                )
        if (
            method not in ("pca", "umap", "tsne")
            or dimensions not in (2, 3)
            or metric not in ("cosine", "euclidean")
        ):
            raise vlm.VLMError(
                f"{method!r:.40} in {dimensions!r:.40} dimensions by {metric!r:.40} distance is not"
                " to be had; choose pca, umap or tsne, 2 or 3, cosine or euclidean."
            )
        return (
            cls("pca", int(dimensions))
            if method == "pca"
            else cls(method, int(dimensions), metric=metric, **numbers)
        )

    @property
    def first(self) -> "Plane":
        """What a run begins with: UMAP and t-SNE take seconds, PCA does not."""
        return self if self.method == "pca" else Plane(dimensions=self.dimensions)

    @property
    def asked(self) -> dict:
        """As a link tells it."""
        return dict(zip(PLANE, dataclasses.astuple(self)))

    @property
    def words(self) -> str:
        """Name the settings that matter to the method, in words; PCA has none."""
        return (
            ""
            if self.method == "pca"
            else f"seed {self.seed}, {self.neighbours} neighbours, {self.metric} distance"
        )


def decoding(
    temperature: float,
    top_k: float,
    top_p: float,
    repetition_penalty: float,
    seed: float,
    max_new_tokens: float,
) -> vlm.Decoding:
    """The sliders' values as D_d (a browser sends whole numbers as floats).

    Raises:
        vlm.DecodingError: a value is outside its range.
    """
    refusal = vlm.DecodingError
    return vlm.Decoding(
        top_k=whole(top_k, "top_k", refusal),
        seed=whole(seed, "seed", refusal),
        max_new_tokens=whole(max_new_tokens, "max_new_tokens", refusal),
        temperature=plain(temperature, "temperature", refusal),
        top_p=plain(top_p, "top_p", refusal),
        repetition_penalty=plain(repetition_penalty, "repetition_penalty", refusal),
    )


@dataclasses.dataclass(frozen=True)
class RunRequest:
    """What a run is asked for with; what is left out is what the page begins with.

    Attributes:
        photos: the paths of one photo, or of several that are asked about together.
        choice: the model that answers.
    """

    photos: tuple[str | None, ...]
    question: str
    choice: Choice
    operator: vlm.Decoding = vlm.Decoding()
    plane: Plane = Plane()

    @classmethod
    def of(
        cls,
        photo: str | None,
        also: Sequence[str] | None,
        question: str,
        choice: Choice,
        *controls: Any,
    ) -> "RunRequest":
        """The controls' values, in the order in which the page has them: after photo, other photos,
        question and model those of `PLANE`, then those of `SETTINGS`, or none of them.

        Raises:
            vlm.VLMError: one is not to be had.
        """
        plane, settings = controls[: len(PLANE)], controls[len(PLANE) :]
        return cls(
            (photo, *(also or ())),
            question,
            choice,
            decoding(*settings) if settings else vlm.Decoding(),
            Plane.of(*plane) if plane else Plane(),
        )

    def check(self) -> None:
        """Refuse too many photos, and a question that is none or too long.

        Raises:
            vlm.VLMError: they cannot be asked about.
        """
        if len(self.photos) > MAX_TOGETHER:
            raise vlm.ImageError(
                f"There are {len(self.photos)} photos, at most {MAX_TOGETHER} can be asked about at"
                " once; take some away."
            )
        if len(text(self.question, "The question")) > MAX_QUESTION:
            raise vlm.QuestionError(
                f"The question has {len(self.question):,} characters, at most {MAX_QUESTION:,} are"
                " allowed; shorten it."
            )
