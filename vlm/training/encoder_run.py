"""A run of the encoder's training: from step to step, saved and gone on from."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from vlm.embedded.assembly import IMAGE_SIDE
from vlm.training.datasets import DataError
from vlm.training.distillation import Learner, Settings, TeacherScale, measure_scale, random_patches
from vlm.training.views import draw_views, whole_views

# what a checkpoint must agree on to be gone on from
SAVED_WITH = ("seed", "batch", "rank", "read", "directions")


def rate_factor(progress: float, step: int, settings: Settings) -> float:
    """The share of the full learning rate, `step` steps after its parameters began to learn, of a
    run that is done to `progress` (0..1).
    """
    rise = (step + 1) / settings.warmup if settings.warmup else 1.0
    fall = (1 - progress) / settings.cooldown if settings.cooldown else 1.0
    return max(0.0, min(1.0, rise, fall))


class Run:
    """A learner, its optimizer and the average of its weights, from step to step.

    What happens at a step depends on the seed and the step's number alone, so that a resumed run is
    the uninterrupted one.
    """

    def __init__(self, learner: Learner, photos: int, device: torch.device):
        self.learner, self.settings, self.device = learner, learner.settings, device
        self.photos = photos
        parameters = learner.trained()
        heads = [value for name, value in parameters.items() if name.startswith("heads.")]
        encoder = [value for name, value in parameters.items() if not name.startswith("heads.")]
        matrices = [value for value in encoder if value.ndim == 2]
        vectors = [value for value in encoder if value.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": values} for values in (matrices, vectors, heads)],
            betas=(0.9, 0.98),
            weight_decay=0.01,
        )
        self._set_rates()
        self.average = {name: value.detach().clone() for name, value in parameters.items()}
        self.step, self.done = 0, False
        self.terms: dict[str, Tensor] = {}

    def _set_rates(self) -> None:
        """The full learning rate of deltas, vectors and heads, and the step at which they begin."""
        settings = self.settings
        matrices, vectors, heads = self.optimizer.param_groups
        matrices |= {"rate": settings.rate, "first": settings.heads_first}
        # they are the encoder's own from the first step, where the deltas are new
        vectors |= {"rate": settings.rate / 10, "first": settings.heads_first}
        heads |= {"rate": settings.head_rate, "first": 0}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the place of the latest ones."""
        parameters = self.learner.trained()
        latest = {name: value.detach().clone() for name, value in parameters.items()}
        try:
            self._put(self.average)
            yield
        finally:
            self._put(latest)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.learner.trained().items():
            parameter.copy_(values[name])

    @property
    def samples(self) -> int:
        """Count the photos that the steps up to now have used, repetitions included."""
        return self.step * self.settings.batch

    def generator(self, *numbers: int) -> torch.Generator:
        """Seed a generator from the run's seed and these numbers alone."""
        seed = self.settings.seed
        for number in numbers:
            seed = seed * 1_000_003 + number
        return torch.Generator().manual_seed(seed)

    def indices(self) -> list[int]:
        """The photos of this step: every photo once a pass, in an order of chance."""
        places = range(self.samples, self.samples + self.settings.batch)
        orders = {
            turn: torch.randperm(self.photos, generator=self.generator(1, turn))
            for turn in {place // self.photos for place in places}
        }
        return [int(orders[place // self.photos][place % self.photos]) for place in places]

    def advance(self, photos: UInt8[Tensor, "B 3 H W"], progress: float) -> None:
        """One step on `photos`, which are those of `indices`."""
        settings, learner = self.settings, self.learner
        generator = self.generator(2, self.step)
        views = draw_views(len(photos), generator).to(self.device)
        grid = IMAGE_SIDE // learner.vision.config.patch_size
        patches = random_patches(len(photos), grid, settings.patch_share, generator)
        photos = photos.to(self.device)
        patches = None if patches is None else patches.to(self.device)
        terms = learner.losses(photos, views, patches)
        loss = torch.stack([settings.weights[name] * term for name, term in terms.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = learner.trained()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        for group in self.optimizer.param_groups:
            factor = rate_factor(progress, self.step - group["first"], settings)
            group["lr"] = group["rate"] * factor
        self.optimizer.step()
        self.step += 1
        # young averages forget faster, so that the start weighs nothing
        share = min(settings.averaging, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.average.items():
                value.lerp_(parameters[name], 1 - share)
        self.terms = {name: term.detach() for name, term in terms.items()} | {"loss": loss.detach()}

    def deltas(self) -> dict[str, Tensor]:
        """What is handed over: the averaged deltas, matrices in bfloat16."""
        return {
            name: value.to(torch.bfloat16) if value.ndim == 2 else value.clone()
            for name, value in self.average.items()
            if not name.startswith("heads.")
        }

    def state(self) -> dict:
        """Gather all that a checkpoint has to hold to resume the run."""
        return {
            "step": self.step,
            "settings": {name: asdict(self.settings)[name] for name in SAVED_WITH},
            "parameters": {name: value.detach() for name, value in self.learner.trained().items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "scale": asdict(self.learner.scale),
        }

    def restore(self, state: dict) -> None:
        """Go on where `state` was saved.

        Raises:
            DataError: it was saved by a run of other settings.
        """
        for name in SAVED_WITH:
            given, wanted = state["settings"][name], getattr(self.settings, name)
            if given != wanted:
                raise DataError(
                    f"the checkpoint was made with {name} {given}, not {wanted}. Give the same, or"
                    " start anew without --resume."
                )
        self.step = state["step"]
        self._put(state["parameters"])
        for name, value in self.average.items():
            value.copy_(state["average"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self._set_rates()  # a resumed run may be given others
        self.learner.scale = TeacherScale(
            **{name: value.to(self.device) for name, value in state["scale"].items()}
        )


def save(run: Run, path: Path) -> None:
    """Write the checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    torch.save(run.state(), temporary)
    temporary.replace(path)


def calibrate(run: Run, pixels: Callable[[Sequence[int]], Tensor], count: int = 256) -> None:
    """Measure the teacher's scale on some photos."""
    order = torch.randperm(run.photos, generator=run.generator(0))[:count].tolist()
    all_targets = []
    for start in range(0, len(order), 32):
        some = order[start : start + 32]
        all_targets.append(
            run.learner.compute_targets(
                pixels(some).to(run.device), whole_views(len(some)).to(run.device)
            )
        )
    run.learner.scale = measure_scale(all_targets, run.learner.teacher, run.settings.directions)


def train(
    run: Run,
    pixels: Callable[[Sequence[int]], UInt8[Tensor, "B 3 H W"]],
    minutes: float | None,
    report: Callable[[Run], None],
) -> None:
    """Steps until the settings' number of them or until `minutes` are over."""
    began = time.monotonic()
    spent = 0.0
    run.done = run.step >= run.settings.steps
    while not run.done:
        run.advance(pixels(run.indices()), max(run.step / run.settings.steps, spent))
        spent = (time.monotonic() - began) / 60 / minutes if minutes else 0.0
        run.done = run.step >= run.settings.steps or spent >= 1
        report(run)
