"""What every instrument of the embedded model takes of memory beside the weights and the run it
looks into, at its highest; and what it gives, which stays.
"""

import ctypes
import gc
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import vlm

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
    hidden, positions = model.hidden_states(trace), trace.visual_tokens.positions
    table, last = model.lens_table(hidden, positions), len(trace.steps) - 1
    windows, few = ((1, model.language_layers),), range(len(positions) // 10)
    yield (
        "an answer of as many words",
        lambda: list(model.decode(trace, vlm.Decoding(max_new_tokens=len(trace.steps)))),
    )
    yield "hidden states", lambda: model.hidden_states(trace)
    yield "embedding lens", lambda: model.embedding_lens(trace.visual_tokens.embeddings)
    yield "logit lens of one token", lambda: model.logit_lens(hidden, int(positions[0]))
    yield "lens table", lambda: model.lens_table(hidden, positions)
    yield "a word everywhere", lambda: model.word_maps(hidden, positions, table, "cat")
    yield "contextual lens of one token", lambda: model.contextual_lens(hidden[:-1, positions[0]])
    yield "encoder attention", lambda: model.encoder_attention(trace.sight)
    yield "attention of all words", lambda: model.attention(trace)
    yield "rollout of one word", lambda: model.attention(trace).rollout(last)
    yield "relevancy", lambda: model.relevancy(trace, last)
    yield "sinks", lambda: model.sinks(trace, hidden)
    yield "ablation check", lambda: model.ablation(trace, last, few)
    yield "sweep, one window", lambda: model.sweep(trace, last, windows)
    yield (
        "intervention",
        lambda: model.intervene(
            trace,
            vlm.token_changes.remove(trace, few),
            decoding=vlm.Decoding(max_new_tokens=len(trace.steps)),
        ),
    )
    yield "self-check", lambda: list(model.comparisons(trace))
    yield (
        "published findings",
        lambda: list(vlm.findings.check(model, trace, tokens=few, words=["cat"])),
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
