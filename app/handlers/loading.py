"""What is loading behind the page, and another vision-language model at a visitor's wish."""

from collections.abc import Iterator, Sequence

import gradio as gr

import vlm
from app import models
from app.handlers.errors import shows_errors
from app.handlers.permissions import check_model, hub_is_open_to


def follow(jobs: Sequence[models.Background]) -> Iterator[dict]:
    """How far these jobs are, whenever that changes, until none is loading."""
    shown = None
    while True:
        statuses = [(job.name, job.status) for job in jobs]
        current = [{"name": name, "state": status.state, "fraction": status.fraction, "message": status.message} for name, status in statuses if status.state != "idle"]
        if current != shown:
            shown = current
            yield {"jobs": current}
        waiting = [(job, status) for job, (_, status) in zip(jobs, statuses, strict=True) if status.state == "loading"]
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
    """Load another vision-language model: (what is loading, the choice, what is in use). If it cannot be had everything stays as it was."""
    choice = models.Choice(check_model(name), bool(four_bit))
    job = models.choose(choice)
    job.start()
    for progress in follow((models.language, models.contrastive, models.umap, *([] if job is models.language else [job]))):
        yield progress, gr.skip(), gr.skip()
    model = job.made()  # None if another visitor's took its place already: the next run brings it back
    yield gr.skip(), choice, model.name if model else choice.name


def offered() -> dict:
    """The vision-language models that this visitor may choose from, for the list."""
    choices = [(f"{models.MODEL} (here)", models.MODEL)] + ([("embedded", "embedded")] if models.MODEL != "embedded" else [])
    if hub_is_open_to() != "none":
        choices += [(described(model), model.name) for model in vlm.MODELS]
    return gr.update(choices=choices)


def described(model: vlm.ListedModel) -> str:
    """A model in one line: parameters, memory, licence."""
    size = f"{model.parameters / 1000:.1f} B" if model.parameters >= 950 else f"{model.parameters} M"
    return f"{model.name} · {size} parameters · {model.gigabytes:.1f} GB, {model.gigabytes_four_bit:.1f} in 4-bit · {model.licence}{' · licence to be accepted first' if model.gated else ''}"
