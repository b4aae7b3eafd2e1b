"""What a photo costs each family of models before a word is read."""

import gradio as gr

from ..panels import Failure, Panel
from ..server import Server
from .events import PRIVATE, QUIET, add_title, report_failure
from .question import Question


class TokenBudget:
    """The token ledger, for a size that is typed or the photo's own."""

    def __init__(self, server: Server, question: Question, opening: dict) -> None:
        size = opening.get("ledger", {})
        add_title(
            "The token ledger",
            "What a photo costs each family of models before a word is read: how many visual"
            " tokens, and why. Counted by the models’ own processors; nothing is run.",
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=200):
                width = gr.Number(
                    size.get("width", 1024),
                    precision=0,
                    minimum=1,
                    maximum=8192,
                    label="Width in pixels",
                    elem_id="ledger-width",
                )
                height = gr.Number(
                    size.get("height", 768),
                    precision=0,
                    minimum=1,
                    maximum=8192,
                    label="Height in pixels",
                    elem_id="ledger-height",
                )
                count = gr.Button("Count", elem_id="ledger-count")
                Failure("ledger")
            with gr.Column(scale=9, min_width=320):
                tokens = Panel("ledger", value=opening.get("ledger"))
        sizes = [width, height]
        counted = server.ledger, sizes, tokens
        question.running.success(
            server.photo_size, question.image, sizes, **PRIVATE, **QUIET
        ).success(*counted, **PRIVATE, **QUIET)
        asked = [count.click, width.submit, height.submit]
        report_failure(gr.on(asked, *counted, **PRIVATE, **QUIET), "ledger")
