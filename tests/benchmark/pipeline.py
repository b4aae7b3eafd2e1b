"""The library against the limit, the bare model: same photo, prompt and tokens through
transformers' `generate` with sdpa and nothing recorded.

Ways of one table run in turn, round by round, so that what else the machine does falls on all of
them; every ratio is taken within a round, by the processor's time where there is no GPU. Peak
memory is that of a process of its own.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import vlm
from tests.attending import attending
from tests.benchmark.memory import resident
from tests.tiny import Size, photo, tiny_llava

if TYPE_CHECKING:
    from vlm.pipeline.model import VisionLanguageModel

# 200 million parameters
LARGE = Size(encoder=768, language=768, layers=14, hidden=3072, heads=12, spread=0.02)
LARGE_SIDE = 31 * 14  # 961 visual tokens: with the prompt about 1,000 positions
QUESTION = "Describe the image."


class Arrivals:
    """A streamer for `generate` that notes when each token came."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value) -> None:
        self.times.append(clock())

    def end(self) -> None:
        pass


def clock() -> float:
    """Seconds of the processor, which neighbours on the machine do not lengthen.

    With a GPU seconds of the wall, all work done.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@dataclass(frozen=True)
class Run:
    """One answer: its tokens, seconds in all, and seconds from the first token to the last."""

    token_ids: list[int]
    seconds: float
    streaming: float


def generated(
    model: "VisionLanguageModel", image, count: int, implementation: str, **recorded
) -> Run:
    """transformers' own way from the photo to the tokens."""
    with attending(model, implementation), torch.inference_mode():
        arrivals, start = Arrivals(), clock()
        inputs = model.on_device(model.inputs([image], QUESTION))
        given = model.network.generate(
            **inputs, max_new_tokens=count, do_sample=False, streamer=arrivals, **recorded
        )
        end = clock()
        sequence = given if torch.is_tensor(given) else given.sequences
    return Run(
        sequence[0, inputs["input_ids"].shape[1] :].tolist(),
        end - start,
        arrivals.times[-1] - arrivals.times[1],
    )


def bare(model, image, count: int) -> Run:
    """Nothing recorded: the limit."""
    return generated(model, image, count, "sdpa")


def traced(model, image, count: int) -> Run:
    """Every stage, every layer of the encoder, each word's alternatives and what it looked at."""
    times, steps, start = [], [], clock()
    trace = model.encode(image, QUESTION)
    for step in model.decode(trace, vlm.Decoding(max_new_tokens=count)):
        times.append(clock())
        steps.append(step)
    trace.with_steps(steps)
    return Run([step.token_id for step in steps], clock() - start, times[-1] - times[0])


def naive(model, image, count: int) -> Run:
    """As it is usually done: slow attention that returns its weights, all hidden states kept."""
    return generated(
        model,
        image,
        count,
        "eager",
        output_attentions=True,
        output_hidden_states=True,
        return_dict_in_generate=True,
    )


WAYS: dict[str, Callable[..., Run]] = {"bare": bare, "trace": traced, "naive": naive}


def model_of(name: str, folder: Path) -> "VisionLanguageModel":
    """The embedded model, or the random one of 200 million parameters."""
    if name == "embedded":
        return vlm.load("embedded")
    return vlm.load(
        folder
        if (folder / "config.json").exists()
        else tiny_llava(folder, resize="squash", side=LARGE_SIDE, context=2048, size=LARGE)
    )


def spread(values: list[float]) -> str:
    """Median, and from the least to the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def in_turn(ways: dict[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """`rounds` runs of each way, one of each in turn after one that does not count.

    Raises:
        AssertionError: two ways gave different tokens: they did not do the same work.
    """
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            run = way()
            if number:
                runs[name].append(run)
    tokens = [run.token_ids for each in runs.values() for run in each]
    assert all(each == tokens[0] for each in tokens), "the ways gave different tokens"
    return runs


def peak(name: str, way: str, folder: Path, count: int) -> float:
    """GB at most that a process of its own had while it made one answer, the weights among them: on
    a GPU there, else resident.
    """
    arguments = [
        sys.executable,
        "-m",
        "tests.benchmark.pipeline",
        name,
        way,
        str(folder),
        str(count),
    ]
    return (
        json.loads(
            subprocess.run(
                arguments, capture_output=True, text=True, check=True
            ).stdout.splitlines()[-1]
        )
        / 1e9
    )


def against_the_limit(folder: Path, rounds: int, count: int) -> None:
    """Prints the table of ratios to the bare model."""
    print(
        "| model | way | time / bare | streaming rate / bare | peak memory / bare | peak GB"
        " |\n|---|---|---|---|---|---|"
    )
    for name, about in (("embedded", "embedded"), ("large", "random LLaVA, 200 M parameters")):
        model, image = model_of(name, folder / name), photo(480, 640)
        runs = in_turn(
            {way: partial(run, model, image, count) for way, run in WAYS.items()}, rounds
        )
        positions = len(model.encode(image, QUESTION).input_ids)
        del model
        most = {way: peak(name, way, folder / name, count) for way in WAYS}
        for way, mine in runs.items():
            seconds = [run.seconds / limit.seconds for run, limit in zip(mine, runs["bare"])]
            rates = [limit.streaming / run.streaming for run, limit in zip(mine, runs["bare"])]
            words = f"{about}, {positions:,} positions, {len(mine[0].token_ids)} tokens"
            print(
                f"| {words} | {way} | {spread(seconds)} | {spread(rates)} |"
                f" {most[way] / most['bare']:.2f} | {most[way]:.2f} |",
                flush=True,
            )


def growth(folder: Path, rounds: int) -> None:
    """Prints how the ratio grows with visual tokens, layers and the length of the answer."""
    print(
        "| visual tokens | layers | answer tokens | bare s | trace / bare |\n|---|---|---|---|---|"
    )
    cases = (
        [(side, 4, 16) for side in (16, 24, 32, 54, 85)]
        + [(24, layers, 16) for layers in (8, 16)]
        + [(24, 4, count) for count in (4, 64)]
    )
    for side, layers, count in cases:
        size = Size(encoder=192, language=192, layers=layers, hidden=768, heads=6, spread=0.02)
        model = vlm.load(
            tiny_llava(
                folder / f"{side}-{layers}",
                resize="squash",
                side=14 * side,
                context=side * side + 512,
                size=size,
            )
        )
        runs = in_turn(
            {
                way: lambda run=run, model=model, count=count: run(model, photo(480, 640), count)
                for way, run in {"bare": bare, "trace": traced}.items()
            },
            rounds,
        )
        ratios = [run.seconds / limit.seconds for run, limit in zip(runs["trace"], runs["bare"])]
        print(
            f"| {side * side:,} | {layers} | {count} |"
            f" {statistics.median(run.seconds for run in runs['bare']):.2f} | {spread(ratios)} |",
            flush=True,
        )


def reuse(rounds: int, count: int) -> None:
    """Prints what a second question, a second decoding and the projections cost on the embedded
    model, as shares of the first answer.
    """
    model, image, long = vlm.load("embedded"), photo(480, 640), vlm.Decoding(max_new_tokens=count)
    shares: dict[str, list[float]] = {}

    def timed(name: str, work: Callable):
        start = clock()
        value = work()
        shares.setdefault(name, []).append(clock() - start)
        return value

    def measure_once() -> None:
        trace = timed(
            "photo and question to the whole answer", lambda: model.trace(image, QUESTION, long)
        )
        timed(
            "the same answer, another question on the same photo (encoder reused)",
            lambda: list(
                model.decode(model.ask(trace.encoded_image, "What is in this image?"), long)
            ),
        )
        read = timed(
            "prompt read again (kept for the next decodings)", lambda: model.prefill(trace)
        )
        timed(
            "another decoding (prompt not read again)",
            lambda: list(
                model.decode(
                    trace, vlm.Decoding(max_new_tokens=count, temperature=1.0, seed=1), read
                )
            ),
        )
        rows = trace.visual_tokens.embeddings
        for method in ("pca", "umap", "tsne"):
            timed(
                f"projection of {len(rows)} tokens, {method}",
                lambda method=method: vlm.project(rows, method),
            )

    for _ in range(rounds + 1):
        measure_once()
    whole = next(iter(shares.values()))[1:]
    print(f"| embedded model, {count} tokens | seconds | share of the first |\n|---|---|---|")
    for name, seconds in shares.items():
        print(
            f"| {name} | {statistics.median(seconds[1:]):.2f} |"
            f" {spread([each / all for each, all in zip(seconds[1:], whole)])} |",
            flush=True,
        )


def once() -> None:
    """One answer, and the most memory that this process took while it was made, in bytes, weights
    and all: what `peak` calls.
    """
    options = argparse.ArgumentParser()
    for name in ("name", "way", "folder", "count"):
        options.add_argument(name)
    given = options.parse_args()
    model = model_of(given.name, Path(given.folder))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        gc.collect()
        # Linux begins to count anew: loading took more than the answer will
        Path("/proc/self/clear_refs").write_text("5")
    WAYS[given.way](model, photo(480, 640), int(given.count))
    print(torch.cuda.max_memory_allocated() if torch.cuda.is_available() else resident("VmHWM"))


if __name__ == "__main__":
    once()
