"""The page against the model's own forward pass."""

import gradio as gr

from ..panels import Failure, Panel
from ..server import Server
from .events import PRIVATE, QUIET, report_failure
from .question import Question


class SelfCheck:
    """Is this true?"""

    def __init__(self, server: Server, question: Question) -> None:
        with gr.Accordion(
            "Is this true? Check the page against the model’s own forward pass", open=False
        ):
            check = gr.Button("Check", elem_id="check")
            Failure("check")
            differences = Panel("checks")
        checking = check.click(
            server.comparisons,
            question.asked,
            differences,
            concurrency_id="model",
            **PRIVATE,
            **QUIET,
        )
        report_failure(checking, "check")
