"""ZeroGPU, the hardware of Hugging Face Spaces that lends a GPU for seconds at a time: the one job
that runs there, the answer token by token.

The job runs in a worker that was forked from this process, maybe long ago: what goes in and what
comes out is pickled, nothing it writes is seen here, and it may know nothing of a model that came
after it. So it takes and yields records, and caches stay here. All else computes on the CPU.
Elsewhere, and on other hardware of Spaces, `Gpu.answer` is `model.decode` and nothing more.

Imported before anything that may load torch, because `spaces` has to come first.
"""

import os
from collections.abc import Callable, Iterator

from .settings import Settings

ACTIVE = Settings.read().zero_gpu.lower() in ("1", "t", "true")
if ACTIVE:
    import spaces

    # outside a job there is no GPU, whatever torch is made to say
    os.environ.setdefault("VLM_DEVICE", "cpu")

import vlm  # noqa: E402  after `spaces`, which has to come before torch

from .models import Choice, Models  # noqa: E402  likewise

DEVICE = "cuda"  # in the worker
# seconds: to move the weights there, for a token, and the most that a visitor's share of a day
# allows
START, PER_TOKEN, LONGEST = 20.0, 0.25, 110.0


def seconds(choice: Choice, trace: vlm.Trace, operator: vlm.Decoding) -> float:
    """How long the GPU is asked for."""
    return min(LONGEST, START + PER_TOKEN * operator.max_new_tokens)


class Gpu:
    """Where the answers of one page are computed.

    Attributes:
        lent: in the worker alone: models that came after it.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self.lent: dict[Choice, object] = {}
        self._job = spaces.GPU(duration=seconds)(self._work) if ACTIVE else self._work

    def _work(
        self, choice: Choice, trace: vlm.Trace, operator: vlm.Decoding
    ) -> Iterator[vlm.Step | vlm.VLMError]:
        """In the worker: the steps of the answer.

        An error the visitor can mend is handed back, because of others only the class is told.
        """
        try:
            model = self._models.at_hand(choice) or self.lent.get(choice)
            if model is None:
                model = self.lent[choice] = vlm.load(choice.name)
            yield from vlm.decode_on(DEVICE, model, trace, operator)
        except vlm.VLMError as error:
            yield error

    def answer(
        self,
        model,
        choice: Choice,
        trace: vlm.Trace,
        operator: vlm.Decoding,
        prefill: Callable | None = None,
    ) -> Iterator[vlm.Step]:
        """The answer to a trace, token by token, where it is quickest.

        Args:
            prefill: gives what is known of this trace already; not asked on a lent GPU, which is
                slower to be told than to compute.

        Raises:
            vlm.VLMError: it cannot be computed there.
        """
        if not ACTIVE:
            yield from model.decode(trace, operator, prefill() if prefill else None)
            return
        for step in self._job(choice, trace, operator):
            if isinstance(step, vlm.VLMError):
                raise step
            yield step
