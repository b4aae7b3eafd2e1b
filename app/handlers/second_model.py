"""A second model on the same photo and question, beside the page's own."""

from collections.abc import Iterator

import vlm

from .. import payloads
from ..backend import Backend
from ..models import Choice
from ..run_request import RunRequest, decoding
from .errors import shows_errors
from .loading import follow
from .permissions import check_model


@shows_errors
def bring(server: Backend, name: str) -> Iterator[dict]:
    """How far the second model is, until it is there. Nobody's run waits for it.

    Raises:
        vlm.VLMError: it cannot be had.
    """
    job = server.models.choose(Choice(check_model(server.settings, name)))
    job.start()
    yield from follow((job,))
    job.get()


@shows_errors
def beside(
    server: Backend, path: str | None, question: str, name: str, *settings: float
) -> Iterator[dict]:
    """What the second model received and answers, as it comes.

    Each message tells all of it: a browser that is busy draws the last one alone.

    Raises:
        vlm.VLMError: photo, question or model cannot be used.
    """
    choice = Choice(check_model(server.settings, name))
    request = RunRequest((path,), question, choice, decoding(*settings))
    operator, model = request.operator, server.models.language_model(choice)
    asked = server.runs.encode(request)
    key, trace = str(asked.key), asked.trace
    seen = payloads.beside(key, model.name, trace)
    yield seen | {"answer": payloads.answer((), False, operator.max_new_tokens)}
    steps: list[vlm.Step] = []
    for step in server.gpu.answer(model, choice, trace, operator):
        steps.append(step)
        yield seen | {"answer": payloads.answer(steps, False, operator.max_new_tokens)}
    yield seen | {
        "answer": payloads.answer(steps, True, operator.max_new_tokens, trace.with_steps(steps))
    }
