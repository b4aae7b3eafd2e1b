"""A photo and a question through the model: stage views at once, the answer as it comes; what has
not changed is not computed again.
"""

from collections.abc import Iterator

import gradio as gr

import vlm

from .. import payloads
from ..backend import Backend
from ..run_key import RunKey
from ..run_request import SETTINGS, Plane, RunRequest
from ..runs import Run
from ..uploads import example_digests
from .errors import shows_errors


def project(run: Run, plane: Plane) -> dict:
    """Visual and text tokens together in the plane or in space, for the page."""
    return payloads.plane(str(run.key), run.project(plane), plane.words) | {"asked": plane.asked}


def asked(key: RunKey, request: RunRequest) -> dict:
    """How a run was asked for, as a link tells it; only an example photo can be in one."""
    [photo, *others] = key.photos
    return {
        "example": None if others else example_digests().get(photo),
        "model": request.choice.name,
        "settings": {name: getattr(request.operator, name) for name in SETTINGS},
    }


@shows_errors
def run(server: Backend, *controls) -> Iterator[tuple]:
    """Stage views at once, then the answer token by token, then what the tokens are near to:
    (record, plane, answer, words).
    """
    request = RunRequest.of(*controls)
    operator, longest = request.operator, request.operator.max_new_tokens
    # this run's, whatever is chosen meanwhile
    model = server.models.language_model(request.choice)
    asked_run = server.runs.encode(request)
    trace, name = asked_run.trace, {"run": str(asked_run.key)}
    record = payloads.record(name["run"], trace) | {
        "language_layers": model.language_layers,
        "model": model.name,
        "asked": asked(asked_run.key, request),
    }
    first = request.plane.first
    yield (
        record,
        project(asked_run, first),
        payloads.answer((), False, longest) | name,
        gr.skip(),
    )
    steps: list[vlm.Step] = []
    for step in server.gpu.answer(
        model, request.choice, trace, operator, lambda: asked_run.prefill(model)
    ):
        steps.append(step)
        yield gr.skip(), gr.skip(), payloads.answer(steps, False, longest) | name, gr.skip()
    done = server.runs.keep_answer(asked_run.key, operator, trace, steps)
    answer = payloads.answer(steps, True, longest, done.trace, str(done.key)) | name
    yield gr.skip(), gr.skip(), answer, gr.skip()
    server.models.answered.set()
    nearest = model.inspect(trace).embedding_lens(count=payloads.WORDS)
    yield (
        gr.skip(),
        gr.skip() if request.plane == first else project(asked_run, request.plane),
        gr.skip(),
        payloads.words(name["run"], trace, nearest),
    )
    yield (gr.skip(),) * 4  # Gradio sends the last again with the word that it was the last


@shows_errors
def reproject(server: Backend, *controls) -> dict:
    """The same tokens by another method, with other settings."""
    request = RunRequest.of(*controls)
    return project(server.runs.encode(request), request.plane)
