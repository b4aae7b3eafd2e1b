"""A second model on the same photo and question, beside the page's own."""

from collections.abc import Iterator

import vlm

from .. import gpu, models, payloads
from .answering import decoding, encode
from .errors import shows_errors
from .loading import follow
from .permissions import check_model


@shows_errors
def bring(name: str) -> Iterator[dict]:
    """How far the second model is, until it is there. Nobody's run waits for it.

    Raises:
        vlm.VLMError: it cannot be had.
    """
    job = models.choose(models.Choice(check_model(name)))
    job.start()
    yield from follow((job,))
    job.get()


@shows_errors
def beside(path: str | None, question: str, name: str, *settings: float) -> Iterator[dict]:
    """What the second model received and answers, as it comes.

    Each message tells all of it: a browser that is busy draws the last one alone.

    Raises:
        vlm.VLMError: photo, question or model cannot be used.
    """
    operator, choice = decoding(*settings), models.Choice(check_model(name))
    model = models.language_model(choice)
    key, trace = encode(path, question, choice)
    seen = payloads.beside(key, model.name, trace)
    yield seen | {"answer": payloads.answer((), False, operator.max_new_tokens)}
    steps: list[vlm.Step] = []
    for step in gpu.answer(model, choice, trace, operator):
        steps.append(step)
        yield seen | {"answer": payloads.answer(steps, False, operator.max_new_tokens)}
    yield seen | {
        "answer": payloads.answer(steps, True, operator.max_new_tokens, trace.with_steps(steps))
    }
