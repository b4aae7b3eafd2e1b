"""Change the visual tokens of a run, or who may look at them, and let the model answer again.

And the sweep: way by way cut, window by window of layers.
"""

import dataclasses
import math
from collections.abc import Iterator

import gradio as gr

import vlm

from .. import payloads
from ..backend import Backend
from ..checks import MAX_TEXT, whole_number
from ..run_key import RunKey
from ..runs import Runs
from .errors import said, shows_errors


def number(asked: dict, name: str, least: float, most: float) -> float:
    """A number that a browser sent.

    Raises:
        vlm.VLMError: it is none, or out of its range.
    """
    value = asked.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise vlm.VLMError(f"The {name} is {value!r:.40}; give a number from {least} to {most}.")
    return value


def whole(asked: dict, name: str, least: int, most: int) -> int:
    """A whole number that a browser sent.

    Raises:
        vlm.VLMError: it is none, or out of its range.
    """
    value = asked.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise vlm.VLMError(
            f"The {name} is {value!r:.40}; give a whole number from {least} to {most}."
        )
    return value


def name(asked: dict, what: str) -> str:
    """One of several, by its name; what is none of them the library says."""
    return str(asked.get(what))[:40]


def seed(asked: dict) -> int:
    """Read the seed of chance that was asked for, 0 to 2**31 - 1."""
    return whole(asked, "seed", 0, 2**31 - 1)


def selected(asked: dict, trace: vlm.Trace) -> list[int]:
    """The visual tokens that were selected.

    Raises:
        vlm.VLMError: none, or one that is not there.
    """
    tokens, count = asked.get("tokens"), len(trace.visual_tokens.embeddings)
    if not isinstance(tokens, list) or not tokens:
        raise vlm.VLMError("No token is selected; click some patches in the picture first.")
    return [whole_number(token, "visual token", count) for token in tokens]


def other(runs: Runs, asked: dict) -> vlm.Trace:
    """The run whose tokens are pasted.

    Raises:
        vlm.VLMError: none was chosen, it is no longer kept, or another model made it.
    """
    run = asked.get("other")
    if not run:
        raise vlm.VLMError(
            "There is no other photo to take tokens from; ask this model about another one first,"
            " then come back to this run."
        )

    found, mine = RunKey.parse(run), RunKey.parse(asked["answer"])
    if found and mine and found.model != mine.model:
        raise vlm.VLMError(
            "The other run is another model's; only photos that one model saw can exchange tokens."
        )
    return runs.open(run).trace


CHANGES = {
    "remove": lambda asked, trace, runs: vlm.Remove(
        selected(asked, trace), name(asked, "how"), seed(asked)
    ),
    "keep": lambda asked, trace, runs: vlm.Keep(
        selected(asked, trace), name(asked, "how"), seed(asked)
    ),
    "paste": lambda asked, trace, runs: vlm.Paste(selected(asked, trace), other(runs, asked)),
    "shuffle": lambda asked, trace, runs: vlm.Shuffle(seed(asked)),
    "rescale": lambda asked, trace, runs: vlm.Rescale(number(asked, "factor", 0, 10)),
}
CUTS = {  # "way": Gradio takes anything called a path for a file
    "knockout": lambda asked, layers: vlm.Cut.along(
        name(asked, "way"),
        range(whole(asked, "first", 1, layers), whole(asked, "last", 1, layers) + 1),
    ),
    "fastv": lambda asked, layers: vlm.Drop(
        whole(asked, "layer", 1, layers), number(asked, "share", 0, 1)
    ),
}


def chosen_word(asked: dict, look, change) -> dict | None:
    """How probable a word is as the first one of the answer, before and after.

    None if none was typed.
    """
    word = asked.get("word") or ""
    if not isinstance(word, str) or len(word) > MAX_TEXT or len(word.split()) > 1:
        raise vlm.QuestionError(
            f"{str(word)[:40]!r} is not one word; type one, or leave the field empty."
        )
    if not word.strip():
        return None
    pieces = [piece for piece in look.beginnings(word) if piece.lower() != word.strip().lower()]
    return {
        "word": word.strip(),
        "pieces": pieces,
        "before": look.begins(word),
        "after": look.begins(word, change),
    }


@shows_errors
def experiment(server: Backend, event: gr.EventData) -> Iterator[dict]:
    """Change an answered run as the panel asked, and answer again: the old answer's words with what
    became of them, and the new answer as it comes.
    """
    asked = said(event)
    answered = server.runs.open_answer(
        asked.get("answer"),
        "There is no answer to compare with; press Run first, and wait for its end.",
    )
    kind, trace, look = str(asked.get("kind")), answered.trace, answered.look
    if kind == "sweep":
        yield from sweep(
            look, whole_number(asked.get("step"), "word", len(trace.steps)), str(asked["answer"])
        )
        return
    if kind not in CHANGES and kind not in CUTS:
        raise vlm.VLMError(
            f"There is no experiment {kind!r:.40}; choose one of {', '.join([*CHANGES, *CUTS])},"
            " sweep."
        )
    change = (
        CHANGES[kind](asked, trace, server.runs)
        if kind in CHANGES
        else CUTS[kind](asked, look.model.language_layers)
    )
    word = chosen_word(asked, look, change)
    # the new answer is greedy, whatever the old one was: chance must not look like an effect
    greedy = dataclasses.replace(
        answered.operator, temperature=0.0, max_new_tokens=max(len(trace.steps), 12)
    )
    again = look.run_again(change, decoding=greedy)
    steps: list[vlm.Step] = []
    for step in again.steps:
        steps.append(step)
        yield payloads.experiment(trace, again.before, again.after, steps, False) | {
            "word": word,
            "of": asked["answer"],
        }
    yield payloads.experiment(trace, again.before, again.after, steps, True) | {
        "word": word,
        "of": asked["answer"],
    }


def sweep(look, step: int, answered: str) -> Iterator[dict]:
    """What becomes of a word when one way after another is cut, window by window of layers."""
    uncut = look.sweep(step, paths=())
    told = {
        "of": answered,
        "word": look.trace.steps[step].token_string,
        "probability": math.exp(uncut.log_probability),
        "windows": [list(window) for window in uncut.windows],
    }
    rows: list = []
    for path in vlm.PATHS:
        yield {"sweep": told | {"rows": list(rows), "finished": False}}
        rows.append(
            [
                path,
                [round(float(change), 4) for change in look.sweep(step, paths=(path,)).change[0]],
            ]
        )
    yield {"sweep": told | {"rows": rows, "finished": True}}
