"""Another model on the same photo and question."""

import gradio as gr

from ..panels import Failure, Panel
from ..server import Server
from .events import PRIVATE, QUIET, add_title, report_failure
from .question import Question


class SecondModel:
    """Two models side by side.

    Attributes:
        other: which model is the second.
        events: what can be stopped.
    """

    def __init__(self, server: Server, question: Question) -> None:
        add_title(
            "Two models side by side",
            "Another model on the same photo and question. Both answer with what is set under"
            " Decoding. A part of the photo that is selected lights the tokens of both.",
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=240):
                self.other = gr.Dropdown(
                    [(f"{server.models.name} (here)", server.models.name)],
                    value=server.models.name,
                    allow_custom_value=True,
                    label="Second model",
                    info="one of the list, OWNER/NAME of another on the hub, or a folder",
                    elem_id="second-model",
                )
                pair = gr.Button("Run beside", elem_id="run-beside")
                coming = Panel("status", elem_id="bringing-second")
                Failure("beside")
            with gr.Column(scale=9, min_width=320):
                couple = Panel("beside", elem_id="two-models")
        fetching = pair.click(
            server.bring, self.other, coming, concurrency_id="loading", **PRIVATE, **QUIET
        )
        pairing = fetching.success(
            server.beside,
            [question.image, question.question, self.other, *question.decoding.settings],
            couple,
            concurrency_id="model",
            **PRIVATE,
            **QUIET,
        )
        self.events = [report_failure(each, "beside") for each in (fetching, pairing)]
