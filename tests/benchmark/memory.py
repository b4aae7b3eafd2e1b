"""What every instrument of the embedded model takes of memory beside the weights and the run it
looks into, at its highest; and what it gives, which stays.
"""

import ctypes
import gc
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import vlm
from vlm.inspect import lens
from vlm.inspect.interventions import Remove

MB = 1e6


def resident(name: str) -> int:
    """ "VmRSS", what this process takes now, or "VmHWM", the most since that was reset.

    Bytes; Linux only.
    """
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def taken(call: Callable[[], object]) -> tuple[float, float]:
    """The most that a call took, and what is left when its result is kept. Bytes."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was let go before would hide what is taken now
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    kept = call()
    most = resident("VmHWM") - before
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    left = resident("VmRSS") - before
    del kept
    return most, left


def instruments(model, trace: vlm.Trace) -> Iterator[tuple[str, Callable[[], object]]]:
    look, last = model.inspect(trace), len(trace.steps) - 1
    tokens = len(trace.visual_tokens.embeddings)
    windows, few = ((1, model.language_layers),), range(tokens // 10)
    look.prefill(), look.lens_table()  # what a run has when it is looked into; not counted below
    hidden, positions = look.hidden_states(), trace.visual_tokens.positions
    yield (
        "an answer of as many words",
        lambda: list(model.decode(trace, vlm.Decoding(max_new_tokens=len(trace.steps)))),
    )
    yield "hidden states", model.inspect(trace).hidden_states
    yield "embedding lens", look.embedding_lens
    yield "logit lens of one token", lambda: look.logit_lens(0)
    yield "lens table", lambda: lens.table(model.network, hidden[:, positions], 5)
    yield "a word everywhere", lambda: look.word_map("cat")
    yield "contextual lens of one token", lambda: look.contextual_lens(0)
    yield "encoder attention", lambda: model.inspect(trace).encoder_attention()
    yield "attention of all words", lambda: model.inspect(trace).answer_attention()
    yield "rollout of one word", lambda: model.inspect(trace).answer_attention().rollout(last)
    yield "relevancy", lambda: model.inspect(trace).relevancy(last)
    yield "sinks", look.sinks
    yield "ablation check", lambda: model.inspect(trace).ablation(last, few)
    yield "sweep, one window", lambda: model.inspect(trace).sweep(last, windows)
    yield (
        "intervention",
        lambda: model.inspect(trace).rerun(
            Remove(few), decoding=vlm.Decoding(max_new_tokens=len(trace.steps))
        ),
    )
    yield "self-check", lambda: list(model.inspect(trace).self_check())
    yield (
        "published findings",
        lambda: list(vlm.findings.check(model.inspect(trace), tokens=few, words=["cat"])),
    )


def cost() -> None:
    """Print the table of assets/docs/benchmarks.md."""
    model = vlm.load("embedded")
    trace = model.trace(vlm.open_image("assets/examples/chelsea.jpg"), "What is in this image?")
    print(
        f"{len(trace.input_ids)} positions, {len(trace.steps)} words\n\n| instrument | MB at most |"
        " MB that stay |\n|---|---|---|"
    )
    for name, call in instruments(model, trace):
        call()  # what is made once (threads, the index of phrases) is not the instrument's
        most, left = taken(call)
        print(f"| {name} | {most / MB:.0f} | {left / MB:.0f} |", flush=True)
