"""What the lenses of the embedded model cost on this machine, in seconds of the wall and of the processor."""

import time
from collections.abc import Callable

import vlm
from app.handlers.views import BLOCK
from vlm.device import has_fast_bfloat16


def took(call: Callable[[], object], rounds: int) -> str:
    """The least time of several, of the wall and of all cores together."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return " | ".join(f"{min(each):.2f}" for each in zip(*times))


def cost(rounds: int) -> None:
    """A table: the lens table of a screen's rows and of all visual tokens, a word everywhere, one token in three lenses."""
    model = vlm.load("embedded")
    trace = model.encode(vlm.open_image("assets/examples/chelsea.jpg"), "What is in this image?")
    hidden, positions = model.hidden_states(trace), trace.visual_tokens.positions
    table = model.lens_table(hidden, positions)
    ways = {
        f"lens table of {BLOCK} tokens": lambda: model.lens_table(hidden, positions[:BLOCK]),
        f"lens table of all {len(positions)}": lambda: model.lens_table(hidden, positions),
        "a word at every token and layer, after that": lambda: model.word_maps(hidden, positions, table, "cat"),
        "one token in three lenses": lambda: (
            model.embedding_lens(hidden[0, positions[:1]]), model.logit_lens(hidden, int(positions[0])), model.contextual_lens(hidden[:-1, positions[0]])
        ),
    }  # fmt: skip
    print(f"{len(hidden)} layers; products with the vocabulary in {'bfloat16' if has_fast_bfloat16() else 'float32'}\n")
    print("| what | seconds | CPU seconds |\n|---|---|---|")
    for what, call in ways.items():
        print(f"| {what} | {took(call, rounds)} |", flush=True)
