"""What one process holds: `python -m tests.load` sends it many visitors at once, each with a photo
and a question of their own.

It serves the page in a process of its own, asks the way the page does (the whole run: stages,
answer token by token, words), and compares every answer with the one that the same model gives
alone, in this process. With `--runs` a few visitors ask on and on, and what the server has in
memory is read early and at the end.
"""

import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from gradio_client import Client, handle_file
from gradio_client.client import Job

import vlm
from tests.tiny import photo, tiny_clip, tiny_llava

ROOT = Path(__file__).parents[1]
LAYOUT = ("pca", 2, 0, 15, "cosine")
SAME = 0.002  # by which probabilities may differ that were computed in company and alone
EARLY = 50  # runs after which the memory is read for the first time
TOLERANCE = 0.05  # of it, that the memory may have grown at the end


Words = list[tuple[str, float]]


@dataclass(frozen=True)
class Visitor:
    """Somebody with a photo (a file, 150 x 90 to 180 x 120 pixels, one of a kind) and a question."""

    number: int
    picture: Path

    @property
    def question(self) -> str:
        return f"Describe photo {self.number}."

    @classmethod
    def come(cls, number: int, folder: Path) -> "Visitor":
        picture = folder / f"{number}.png"
        photo(90 + number % 31, 150 + number % 29, seed=number + 1).save(picture)
        return cls(number, picture)


@dataclass(frozen=True)
class Asked:
    """What became of one question: the words of the answer, each with its probability, or the
    error; seconds to the first thing shown, to the first word, and to the end.
    """

    visitor: Visitor
    words: Words | None
    error: str | None
    first: float = 0.0
    word: float = 0.0
    end: float = 0.0


class Page:
    """The page as a browser uses it: its own functions, by the number of their components."""

    def __init__(self, address: str) -> None:
        # of one's own, as a browser has (see `app.replicas`)
        self.client = Client(
            address, verbose=False, headers={"cookie": f"visitor={uuid.uuid4().hex}"}
        )
        dependencies = self.client.config["dependencies"]
        names = {
            each["id"]: each["props"].get("elem_id") for each in self.client.config["components"]
        }
        found = {
            tuple(names[output] for output in each["outputs"]): each["id"] for each in dependencies
        }
        self.run_number, self.status_number = (
            found["feed-record", "feed-plane", "feed-answer", "feed-words"],
            found["status", "came-with", "repetition-penalty"],
        )
        for number in (self.run_number, self.status_number):
            # private, which a browser does not ask about
            self.client.endpoints[number].is_valid = True

    def warm(self, folder: Path, tokens: int) -> None:
        """One question, then wait until all models are loaded and UMAP, which begins after a first
        answer, is compiled.
        """
        if error := self.ask(Visitor.come(-1, folder), tokens).error:
            raise RuntimeError(error)
        self.client.predict("", fn_index=self.status_number)

    def begin(self, visitor: Visitor, tokens: int) -> Job:
        """A run, update by update: (record, plane, answer, words), each in a list of its own (see
        `app.panels.Feed`).
        """
        return self.client.submit(
            handle_file(visitor.picture),
            None,
            visitor.question,
            *LAYOUT,
            0,
            0,
            1,
            1,
            0,
            tokens,
            fn_index=self.run_number,
        )

    def ask(self, visitor: Visitor, tokens: int) -> Asked:
        """One run, from the upload to its last word."""
        begun, first, word, words = time.perf_counter(), 0.0, 0.0, None
        try:
            for update in self.begin(visitor, tokens):
                first = first or time.perf_counter() - begun
                # nothing new is no list
                if isinstance(update[2], list) and (answer := update[2][0])["steps"]:
                    word = word or time.perf_counter() - begun
                    if answer["finished"]:
                        words = [(step["string"], step["probability"]) for step in answer["steps"]]
        except Exception as error:  # whatever it is, it is counted
            return Asked(visitor, None, f"{type(error).__name__}: {error}")
        return Asked(
            visitor, words, None if words else "no answer", first, word, time.perf_counter() - begun
        )


@contextmanager
def served(environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """`python app.py` on a free port of this machine: its address and its process."""
    environment = {
        **os.environ,
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    server = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    try:
        for line in server.stdout:
            said.append(line)
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise RuntimeError("".join(said))
        # so that it never waits to be read
        threading.Thread(target=lambda: said.extend(server.stdout), daemon=True).start()
        yield address[0], psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(60)


def at_once(
    visitors: list[Visitor], page: Callable[[], Page], tokens: int, seconds: float
) -> list[Asked]:
    """All visitors, each in a thread of their own, who begin together.

    A question not answered after `seconds` is an error.
    """
    results: dict[int, Asked] = {}
    pages = [page() for _ in visitors]  # open before anybody asks
    together = threading.Barrier(len(visitors))

    def visit(index: int) -> None:
        together.wait()
        results[index] = pages[index].ask(visitors[index], tokens)

    threads = [
        threading.Thread(target=visit, args=(index,), daemon=True) for index in range(len(visitors))
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [
        results.get(index, Asked(visitor, None, f"not answered after {seconds:.0f} s"))
        for index, visitor in enumerate(visitors)
    ]


def alone(model, visitors: list[Visitor], tokens: int) -> list[Words]:
    """The answers that the model gives when nobody else asks."""
    decoding = vlm.Decoding(max_new_tokens=tokens)
    traces = [
        model.trace(vlm.open_image(each.picture), each.question, decoding) for each in visitors
    ]
    return [[(step.token_string, step.probability) for step in trace.steps] for trace in traces]


def difference(one: Words, other: Words) -> float:
    """The largest difference of two answers' probabilities.

    Infinite if they are not the same words.
    """
    if [word for word, _ in one] != [word for word, _ in other]:
        return math.inf
    return max(abs(mine - theirs) for (_, mine), (_, theirs) in zip(one, other))


def mistaken(asked: list[Asked], expected: list[Words]) -> list[Asked]:
    """Those who got another answer than the one they would get alone, as another visitor's is.

    Raises:
        ValueError: two visitors' own answers are too much alike to be told from each other.
    """
    nearest = min(
        (
            difference(one, other)
            for number, one in enumerate(expected)
            for other in expected[:number]
        ),
        default=math.inf,
    )
    if nearest <= 2 * SAME:
        raise ValueError(
            f"Two visitors' answers differ by {nearest:.4f} only; ask for longer ones."
        )
    return [
        each
        for each, words in zip(asked, expected, strict=True)
        if each.words and difference(each.words, words) > SAME
    ]


def quantiles(seconds: list[float]) -> str:
    """Median, 95th percentile and largest."""
    ordered = sorted(seconds)
    return (
        f"{statistics.median(ordered):.1f} |"
        f" {ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]:.1f} | {ordered[-1]:.1f}"
    )


def crowd(address: str, model, folder: Path, count: int, tokens: int, seconds: float) -> bool:
    """Prints what `count` visitors at once wait for; whether each got their own answer."""
    visitors = [Visitor.come(number, folder) for number in range(count)]
    expected = alone(model, visitors, tokens)
    Page(address).warm(folder, tokens)
    begun = time.perf_counter()
    asked = at_once(visitors, lambda: Page(address), tokens, seconds)
    errors = [each.error for each in asked if each.error]
    wrong = mistaken(asked, expected)
    good = [each for each in asked if not each.error]
    last = max((each.end for each in good), default=0.0)
    print(
        f"{count} visitors at once, answers of {min(map(len, expected))} to"
        f" {max(map(len, expected))} tokens; {time.perf_counter() - begun:.0f} s with opening their"
        " pages"
    )
    print(
        f"errors: {len(errors)} {errors[:3] or ''}\nanswers of another visitor, or otherwise not"
        f" those given alone: {len(wrong)}"
    )
    if good:
        print(
            f"throughput: {len(good) / last:.2f} runs a second\n\n| seconds until | median | 95th"
            " percentile | largest |\n|---|---|---|---|"
        )
        for name in ("first", "word", "end"):
            print(
                f"| {dict(first='the stages are shown', word='the first word', end='the end of the answer')[name]}"
                f" | {quantiles([getattr(each, name) for each in good])} |"
            )
    return not errors and not wrong


def endurance(
    address: str,
    process: psutil.Process,
    folder: Path,
    runs: int,
    visitors: int,
    tokens: int,
    seconds: float,
) -> bool:
    """Prints what the server has in memory (resident) after `EARLY` and after all `runs`.

    Whether the second is the first within `TOLERANCE`.
    """
    pages, end, errors, read = (
        [Page(address) for _ in range(visitors)],
        time.monotonic() + seconds,
        0,
        {},
    )
    pages[0].warm(folder, tokens)
    for start in range(0, runs, visitors):
        turn = [
            Visitor.come(number, folder) for number in range(start, min(start + visitors, runs))
        ]
        errors += sum(
            each.error is not None
            for each in at_once(
                turn, iter(pages).__next__, tokens, max(1.0, end - time.monotonic())
            )
        )
        for each in turn:
            each.picture.unlink()
        done = start + len(turn)
        if done >= EARLY and (not read or done == runs or done % 100 < visitors):
            read[done] = process.memory_info().rss / 1e6
            print(f"after {done:,} runs: {read[done]:,.1f} MB resident", flush=True)
    early, *_, late = read.values()
    print(
        f"errors: {errors}\ngrowth from {min(read)} to {max(read):,} runs:"
        f" {100 * (late / early - 1):+.1f} % (at most {100 * TOLERANCE:.0f} % is taken for none)"
    )
    return not errors and late <= early * (1 + TOLERANCE)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    options.add_argument("--visitors", type=int, default=40, help="who ask at once")
    options.add_argument(
        "--runs", type=int, default=0, help="runs in all, for the memory; 0: one question a visitor"
    )
    options.add_argument("--tokens", type=int, default=16, help="longest answer")
    options.add_argument(
        "--minutes", type=float, default=10.0, help="after which what is not answered is an error"
    )
    options.add_argument(
        "--tiny", action="store_true", help="a tiny random model in the place of the embedded one"
    )
    options.add_argument(
        "--keep", type=float, default=2.0, help="gigabytes the server may keep of earlier runs"
    )
    options.add_argument("--address", help="of a page that is served already, with the same model")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment, model = {"VISUAL_TOKEN_EXPLORER_KEEP": str(given.keep)}, "embedded"
        if given.tiny:
            model, contrast = (
                tiny_llava(folder / "model", context=2048),
                tiny_clip(folder / "contrast"),
            )
            environment |= {
                "VISUAL_TOKEN_EXPLORER_MODEL": str(model),
                "VISUAL_TOKEN_EXPLORER_CONTRASTIVE": str(contrast),
            }
        if given.address:
            done = crowd(
                given.address,
                vlm.load(model),
                folder,
                given.visitors,
                given.tokens,
                60 * given.minutes,
            )
            sys.exit(0 if done else 1)
        with served(environment) as (address, process):
            if given.runs:
                done = endurance(
                    address,
                    process,
                    folder,
                    given.runs,
                    given.visitors,
                    given.tokens,
                    60 * given.minutes,
                )
            else:
                done = crowd(
                    address,
                    vlm.load(model),
                    folder,
                    given.visitors,
                    given.tokens,
                    60 * given.minutes,
                )
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
