"""Where what Python computed enters the store of the page."""

import gradio as gr

from ..concurrency import limit_concurrency
from ..panels import Feed
from ..server import Server


def script_handlers(server: Server) -> list:
    """What the views ask, each handler by its name."""
    return [
        *limit_concurrency("short", server.layer, server.rows, server.word),
        *limit_concurrency(
            "long",
            server.lens,
            server.lens_rows,
            server.word_maps,
            server.looked,
            server.relevancy,
            server.ablation,
        ),
    ]


class Feeds:
    """One feed a slice of the store; through that of the record the views ask further.

    Attributes:
        address: the address with which the page was opened, whose link `link` then answers.
    """

    def __init__(self, server: Server) -> None:
        self.record = Feed("record", server_functions=script_handlers(server))
        self.plane, self.answer, self.words = Feed("plane"), Feed("answer"), Feed("words")
        self.instant = Feed("instant")
        self.address, self.link = gr.Textbox(visible=False), Feed("link")

    @property
    def run(self) -> list[Feed]:
        """What a run fills."""
        return [self.record, self.plane, self.answer, self.words]
