"""A run on the disk: everything needed to repeat it in `run.json`, its tensors in
`run.safetensors`, its photos beside them; and the repetition.

Of a folder that somebody handed in nothing is believed: photos are opened as any other upload is,
files are looked for in that folder alone, and safetensors and JSON hold data, never code.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vlm.errors import ImageError, RunError, VLMError
from vlm.hub.store import sha256
from vlm.pipeline.image import MAX_BYTES, open_image
from vlm.pipeline.model import VisionLanguageModel
from vlm.records.trace import Decoding, Trace

FORMAT = 1
RUN, TENSORS = "run.json", "run.safetensors"
CLOSE = 1e-3  # of the largest number: what another machine's arithmetic may make of float32


@dataclass(frozen=True)
class Difference:
    """One tensor, then and now: the largest absolute difference beside the largest number; None
    where the shapes differ.
    """

    name: str
    largest: float | None
    scale: float

    @property
    def close(self) -> bool:
        """Tell whether another machine's arithmetic explains the largest difference."""
        return self.largest is not None and self.largest <= CLOSE * max(self.scale, 1.0)


@dataclass(frozen=True)
class Replay:
    """A saved run, repeated.

    Attributes:
        trace: of the repetition.
        differences: of every tensor.
        answers: then, now.
        changed: what else is not as it was (packages, device, model): name, then, now.
    """

    trace: Trace
    differences: tuple[Difference, ...]
    answers: tuple[str, str]
    changed: tuple[tuple[str, str, str], ...]

    @property
    def identical(self) -> bool:
        """Every number, to the last bit."""
        return self.answers[0] == self.answers[1] and all(
            each.largest == 0 for each in self.differences
        )

    @property
    def holds(self) -> bool:
        """Tell whether the answer is the same and all numbers are close."""
        return self.answers[0] == self.answers[1] and all(each.close for each in self.differences)

    @property
    def words(self) -> str:
        """What came of it, line by line."""
        lines = [
            (
                "The same numbers, to the last bit."
                if self.identical
                else (
                    "The same answer; numbers differ as another machine's arithmetic explains."
                    if self.holds
                    else "It differs."
                )
            )
        ]
        for each in self.differences:
            if each.largest != 0:
                lines.append(
                    f"{each.name}: "
                    + (
                        "another shape"
                        if each.largest is None
                        else (
                            f"largest difference {each.largest:.2g}, largest number"
                            f" {each.scale:.3g}"
                        )
                    )
                )
        if self.answers[0] != self.answers[1]:
            lines += [f"answer then: {self.answers[0]!r}", f"answer now:  {self.answers[1]!r}"]
        return "\n".join(
            lines + [f"{name}: then {then}, now {now}" for name, then, now in self.changed]
        )


def tensors(trace: Trace) -> dict[str, Float[np.ndarray, "..."]]:
    """What is kept of a run, under the names of the article."""
    kept = {
        "x_p": trace.patches.pixels,
        "X'": trace.encoder_output,
        "VT": trace.visual_tokens.embeddings,
        "TT": trace.text_tokens.embeddings,
        "VT + TT": trace.inputs_embeds,
        "log_probabilities": np.array([step.log_probability for step in trace.steps], np.float32),
    }
    return {name: np.ascontiguousarray(rows, np.float32) for name, rows in kept.items()}


def save_run(trace: Trace, folder: Path, model: VisionLanguageModel, decoding: Decoding) -> Path:
    """See `vlm.save_run`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        photos = []
        for number, image in enumerate(trace.encoded_image.images, start=1):
            path = folder / f"photo-{number}.png"
            image.save(path)
            if path.stat().st_size > MAX_BYTES:
                raise ImageError(
                    f"Kept without loss, photo {number} takes more than {MAX_BYTES // 2**20} MB and"
                    " could not be opened again; ask about a smaller one."
                )
            photos.append(
                {
                    "file": path.name,
                    "sha256": sha256(path),
                    "height": image.height,
                    "width": image.width,
                }
            )
        kept = tensors(trace)
        save_file(kept, folder / TENSORS)
        run = {
            "format": FORMAT,
            "model": {
                "name": model.name,
                "four_bit": bool(getattr(model.network, "is_loaded_in_4bit", False)),
            },
            "versions": model.versions(),
            "question": trace.question,
            "decoding": asdict(decoding),
            "photos": photos,
            "tensors": {
                "file": TENSORS,
                "sha256": sha256(folder / TENSORS),
                "shapes": {name: list(rows.shape) for name, rows in kept.items()},
            },
            "prompt": trace.prompt,
            "answer": trace.answer,
            "steps": [
                {
                    "token_id": step.token_id,
                    "token": step.token_string,
                    "log_probability": step.log_probability,
                }
                for step in trace.steps
            ],
        }
        (folder / RUN).write_text(
            json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise RunError(
            f"The run cannot be written to {folder} ({error.strerror or error}); name a folder that"
            " can."
        ) from error
    return folder / RUN


def replay(
    path: Path, load: Callable[[str, bool], VisionLanguageModel], name: str | None
) -> Replay:
    """See `vlm.replay`."""
    path = path / RUN if path.is_dir() else path
    run = _read(path)
    try:
        if not run["photos"]:
            raise ValueError("no photo")
        images = [
            open_image(_beside(path, photo["file"], photo["sha256"]), root=path.parent)
            for photo in run["photos"]
        ]
        then = load_file(_beside(path, run["tensors"]["file"], run["tensors"]["sha256"]))
        decoding = Decoding(
            **{field.name: run["decoding"][field.name] for field in fields(Decoding)}
        )
        question, answer, versions = str(run["question"]), str(run["answer"]), dict(run["versions"])
        model = load(name or str(run["model"]["name"]), bool(run["model"]["four_bit"]))
    except VLMError:  # which says enough, and is a ValueError
        raise
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise RunError(
            f"{str(path)!r} is not a whole run ({type(error).__name__}: {error}); save it again."
        ) from error
    trace = model.encode(images, question)
    trace = trace.with_steps(model.decode(trace, decoding))
    now, current = tensors(trace), model.versions()
    return Replay(
        trace=trace,
        differences=tuple(_difference(each, then.get(each), rows) for each, rows in now.items()),
        answers=(answer, trace.answer),
        changed=tuple(
            (each, str(versions.get(each, "not told")), value)
            for each, value in current.items()
            if versions.get(each) != value
        ),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(
            f"{str(path)!r} cannot be read ({error.strerror}); give the run.json of a saved run, or"
            " its folder."
        ) from error
    except ValueError as error:
        raise RunError(
            f"{str(path)!r} holds no JSON; give the run.json of a saved run, or its folder."
        ) from error
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise RunError(
            f"{str(path)!r} is no run that this version saves (format {FORMAT}); save it again."
        )
    return run


def _beside(path: Path, name: str, digest: str) -> Path:
    """A file in the folder of the run, unchanged."""
    file = path.parent / name
    if Path(name).name != name or not file.is_file():
        raise RunError(
            f"{name!r} of this run is not in {path.parent}; all its files have to lie together."
        )
    if sha256(file) != digest:
        raise RunError(
            f"{name!r} is not the file that was saved with this run (its SHA-256 differs); bring"
            " the original."
        )
    return file


def _difference(
    name: str, then: Float[np.ndarray, "..."] | None, now: Float[np.ndarray, "..."]
) -> Difference:
    if then is None or then.shape != now.shape:
        return Difference(name, None, 0.0)
    return Difference(
        name, float(np.abs(then - now).max(initial=0)), float(np.abs(then).max(initial=0))
    )
