"""What a visitor takes away."""

import gradio as gr

from ..concurrency import limit_concurrency
from ..panels import Panel
from ..server import Server


class TakeHome:
    """A run as a page, a file, a table, a link."""

    def __init__(self, server: Server) -> None:
        with gr.Accordion(
            "Take home: this run as a page, a file, a table, a link",
            open=False,
            elem_id="taking-home",
        ):
            functions = limit_concurrency("long", server.tensors, server.offline)
            Panel("take_home", server_functions=functions)
