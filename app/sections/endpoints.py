"""The named API: `/answer` (streams), `/trace` and `/similarity`."""

import gradio as gr

from ..server import Server
from .contrastive import Contrastive
from .question import Question


def add_endpoints(server: Server, question: Question, contrastive: Contrastive) -> None:
    """Let programs ask what the page asks, with the controls' values as defaults."""
    asked = [question.image, question.question, *question.decoding.settings]
    text, record, matrices, button = (
        gr.Textbox(visible=False),
        gr.JSON(visible=False),
        gr.JSON(visible=False),
        gr.Button(visible=False),
    )
    button.click(
        server.answer_endpoint,
        asked,
        text,
        api_name="answer",
        concurrency_id="model",
    )
    button.click(
        server.trace_endpoint,
        asked,
        record,
        api_name="trace",
        concurrency_id="model",
    )
    button.click(
        server.similarity_endpoint,
        [contrastive.more, contrastive.texts],
        matrices,
        api_name="similarity",
    )
