"""What is loading behind the page, another vision-language model at a visitor's wish, and the
settings for answers that came with a model.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

import vlm

from ..backend import Backend
from ..models import Background, Choice
from .errors import shows_errors
from .links import restored
from .permissions import check_model, hub_is_open_to
from .resources import for_visitors

PENALTY = "repetition_penalty"


def follow(jobs: Sequence[Background]) -> Iterator[dict]:
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
        job.wait(lambda status, last=last: status != last, timeout=1.0)


def status(server: Backend) -> Iterator[dict]:
    """Follow the loading until everything is there."""
    server.models.begin_loading()
    yield from follow((server.models.language, server.models.contrastive, server.models.umap))


def arrive(server: Backend, link: str) -> Iterator[tuple]:
    """Follow the loading for a visitor who comes: (how far it is, what came with the model, the
    repetition penalty), the two last as soon as the model is there.

    What a link has set stays.
    """
    found, told = restored(server, link), False
    models = server.models
    choice = found[4] if found and models.at_hand(found[4]) is not None else models.first
    for progress in status(server):
        if told or models.at_hand(choice) is None:
            yield progress, gr.skip(), gr.skip()
        else:
            told = True
            words, penalty = own_settings(server, choice)
            yield progress, words, gr.skip() if found else penalty


def own_settings(server: Backend, choice: Choice) -> tuple:
    """What came with a model that is in memory, in words, and its repetition penalty for the
    control; nothing of one that is not.
    """
    model = server.models.at_hand(choice)
    if model is None:
        return gr.skip(), gr.skip()
    words, penalty = in_words(model.own_settings), model.own_settings.obeyed.get(PENALTY, 1)
    try:
        vlm.Decoding(repetition_penalty=penalty)
    except vlm.DecodingError as error:  # no control can be set to it, and no answer obeys it
        return f"{words} {html.escape(str(error), quote=False)}", gr.skip()
    ends = {"minimum": min(1, penalty), "maximum": max(2, penalty)}
    return words, gr.update(value=penalty, **ends)


def in_words(came: Any) -> str:
    """What came with a checkpoint, a short sentence for each kind of it, as HTML."""
    sentences = [
        f"Came with the model and obeyed: {listed(came.obeyed)}." if came.obeyed else "",
        f"Obeyed above temperature 0: {listed(came.drawn)}." if came.drawn else "",
        f"For sampling it suggests: {listed(came.suggested)}." if came.suggested else "",
        f"It also asks for what is not done here: {listed(came.ignored)}." if came.ignored else "",
    ]
    said = " ".join(filter(None, sentences))
    return html.escape(said or "This model came with no settings of its own.", quote=False)


def listed(settings: Mapping[str, Any]) -> str:
    """Settings by name; of one with many entries how many there are."""
    words = []
    for name, value in settings.items():
        if value is True:
            words.append(name)
        elif isinstance(value, (list, tuple, dict)):
            words.append(f"{name} ({len(value)})")
        else:
            words.append(f"{name} {value!s:.20}")
    return ", ".join(words)


@shows_errors
def choose(server: Backend, name: str, four_bit: bool) -> Iterator[tuple]:
    """Load another vision-language model: (how far it is, the choice, what is in use).

    If it cannot be had everything stays as it was.
    """
    choice = Choice(check_model(server.settings, name), bool(four_bit))
    job = server.models.choose(choice)
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


def offered(server: Backend) -> dict:
    """The vision-language models that this visitor may choose from, for the list."""
    name = server.models.name
    choices = [(f"{name} (here)", name)] + (
        [("embedded", "embedded")] if name != "embedded" else []
    )
    if hub_is_open_to(server.settings) != "none":
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
