"""What a visitor asks of the handlers, for the tests that call them without a server."""

import re
from concurrent.futures import ThreadPoolExecutor

import gradio as gr

from app.server import Server
from app.settings import Settings
from vlm.errors import VLMError

# what the page under test stands on
server = Server(Settings())
# temperature, top-k, top-p, repetition penalty, seed, max_new_tokens
GREEDY = (0.0, 0, 1.0, 1.0, 0, 6)
QUESTION = "What is in this image?"
LAYOUT = ("pca", 2, 0, 15, "cosine")  # method, dimensions, seed, neighbours, distance


def run(
    path, question=QUESTION, settings=GREEDY, layout=LAYOUT, choice=server.models.first, also=None
):
    """What the page receives, update by update: (record, plane, answer, words).

    The last, which Gradio sends twice, tells nothing.
    """
    *updates, last = server.run(path, also, question, choice, *layout, *settings)
    assert all(map(is_skipped, last))
    return updates


def answers(path, **options) -> list[dict]:
    return [update[2] for update in run(path, **options) if not is_skipped(update[2])]


def is_skipped(value) -> bool:
    return value == gr.skip()


def compare(path, more=None, lines="a cat\na dog", template="", ensemble=False, beside=""):
    return server.compare(
        path, more, lines, template, ensemble, server.models.contrastive_name, beside
    )


def in_a_thread(call):
    """What a call gives, made where no browser's event loop runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def is_refused(call) -> bool:
    """Whether it was refused, and that in one sentence; any other error is ours."""
    try:
        call()
    except (VLMError, gr.Error) as error:
        message = str(getattr(error, "message", error))
        assert "\n" not in message and 10 < len(message) < 400 and "Traceback" not in message, (
            message
        )
        return True
    return False


def sentence(error) -> str:
    """The message, which is one line that says what is wrong and what to do."""
    text = error.value.message
    assert re.fullmatch(r"[\w'].*\w.*[.a-z?]", text) and "Traceback" not in text, text
    return text
