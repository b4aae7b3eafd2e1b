"""What is loading behind the page, and another vision-language model at a visitor's wish."""

from collections.abc import Iterator, Sequence

import gradio as gr

import vlm
from .. import models
from .errors import shows_errors
from .machine import for_visitors
from .permissions import check_model, hub_is_open_to


def follow(jobs: Sequence[models.Background]) -> Iterator[dict]:
    """How far these jobs are, whenever that changes, until none is loading."""
    shown = None
    while True:
        statuses = [(job.name, job.status) for job in jobs]
        current = [
            {
                "name": name,
                "state": status.state,
                "fraction": status.fraction,
                "message": for_visitors(status.message),
            }
            for name, status in statuses
            if status.state != "idle"
        ]
        if current != shown:
            shown = current
            yield {"jobs": current}
        waiting = [
            (job, status)
            for job, (_, status) in zip(jobs, statuses, strict=True)
            if status.state == "loading"
        ]
        if not waiting:
            return
        job, last = waiting[-1]
        job.wait(lambda status: status != last, timeout=1.0)  # noqa: B023


def status() -> Iterator[dict]:
    """Follow the loading until everything is there."""
    models.start()
    yield from follow((models.language, models.contrastive, models.umap))


@shows_errors
def choose(name: str, four_bit: bool) -> Iterator[tuple]:
    """Load another vision-language model: (how far it is, the choice, what is in use).

    If it cannot be had everything stays as it was.
    """
    choice = models.Choice(check_model(name), bool(four_bit))
    job = models.choose(choice)
    job.start()
    for progress in follow((job,)):
        yield progress, gr.skip(), gr.skip()
    # None if another visitor's took its place already: the next run brings it back
    model = job.made()
    yield progress, choice, gr.update(label=in_use(model.name if model else choice.name))


def in_use(name: str) -> str:
    """What stands over the choice of a model: the name of the one in use, with the first digits of
    its commit.
    """
    name, at, commit = name.partition("@")
    return f"Model: {name}{at}{commit[:12]}"


def offered() -> dict:
    """The vision-language models that this visitor may choose from, for the list."""
    choices = [(f"{models.MODEL} (here)", models.MODEL)] + (
        [("embedded", "embedded")] if models.MODEL != "embedded" else []
    )
    if hub_is_open_to() != "none":
        choices += [(described(model), model.name) for model in vlm.MODELS]
    return gr.update(choices=choices)


def described(model: vlm.ListedModel) -> str:
    """A model in one line: parameters, memory in bfloat16 and in 4-bit, licence."""
    size = (
        f"{model.parameters / 1000:.1f} B" if model.parameters >= 950 else f"{model.parameters} M"
    )
    first = " (to be accepted first)" if model.gated else ""
    return (
        f"{model.name.partition('/')[2]} · {size} · {model.gigabytes:.1f} GB,"
        f" {model.gigabytes_four_bit:.1f} GB · {model.licence}{first}"
    )
