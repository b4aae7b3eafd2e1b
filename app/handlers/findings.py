"""Published findings, tested on the visitor's photo.

And the page compared with the model itself.
"""

import re
from collections.abc import Iterator, Sequence

import gradio as gr

import vlm

from .. import payloads
from ..backend import Backend
from ..checks import MAX_TEXT, whole_number
from ..models import Choice
from ..run_request import RunRequest
from ..uploads import EXAMPLES
from .errors import said, shows_errors

# for what is about several photos: the examples, and what they show
SENTENCES = {
    "chelsea.jpg": "a photo of a cat",
    "coffee.jpg": "a cup of coffee",
    "astronaut.jpg": "an astronaut",
    "china.jpg": "a temple",
    "flower.jpg": "a flower",
    "rocket.jpg": "a rocket at its start",
}
MOST_WORDS = 10


@shows_errors
def findings(server: Backend, event: gr.EventData) -> Iterator[dict]:
    """Test every published finding on a run, one by one."""
    asked = said(event)
    run, tokens = str(asked.get("run")), asked.get("tokens")
    opened = server.runs.open(run)
    trace = opened.trace
    if not isinstance(tokens, list):
        raise vlm.VLMError("The selection is not a list of tokens; select some patches again.")
    tokens = [
        whole_number(token, "visual token", len(trace.visual_tokens.embeddings)) for token in tokens
    ]
    there, absent = named(asked.get("words")), named(asked.get("absent"))
    yield payloads.findings(run, (), len(vlm.findings.FACTS))
    pairs = [
        (vlm.open_image(EXAMPLES / name, root=EXAMPLES), sentence)
        for name, sentence in SENTENCES.items()
    ]
    found = []
    for finding in vlm.findings.check(
        opened.look,
        server.models.contrastive.get(),
        tokens=tokens,
        words=there,
        absent=absent,
        pairs=pairs,
    ):
        found.append(finding)
        yield payloads.findings(run, found, len(vlm.findings.FACTS))


def named(text) -> list[str]:
    """Words between commas.

    Raises:
        vlm.QuestionError: too many, or too long.
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise vlm.QuestionError(
            f"Name things in at most {MAX_TEXT} characters, with commas between them, for example:"
            " cat, sofa"
        )
    words = [word.strip() for word in re.split(r"[,\n]", text) if word.strip()]
    if len(words) > MOST_WORDS:
        raise vlm.QuestionError(
            f"There are {len(words)} words, at most {MOST_WORDS} can be looked for; take some away."
        )
    return words


@shows_errors
def comparisons(
    server: Backend,
    path: str | None,
    also: Sequence[str] | None,
    question: str,
    choice: Choice,
) -> Iterator[dict]:
    """What the page shows against what the model computes by itself, one comparison after the
    other.
    """
    opened = server.runs.encode(RunRequest.of(path, also, question, choice))
    look, found = opened.look, []
    for comparison in look.self_check():
        found.append(comparison)
        yield payloads.comparisons(found, look.model.versions(), False)
    yield payloads.comparisons(found, look.model.versions(), True)
