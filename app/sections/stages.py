"""What a visitor sees of a run: the picture that was received, the stage views, the answer."""

import gradio as gr

from ..panels import Panel, plotly_url

VIEWS = (
    "photo",
    "patches",
    "positions",
    "encoder",
    "connector",
    "space",
    "sequence",
    "lens",
    "looked",
)


class Stages:
    """The stage views around what every one of them is about."""

    def __init__(self) -> None:
        with gr.Column(scale=17, min_width=320):
            with gr.Row():
                with gr.Column(scale=6, min_width=300):
                    Panel("received")
                with gr.Column(scale=11, min_width=320):
                    Panel("view_tabs")
                    with gr.Row(elem_id="views"):
                        for name in VIEWS:
                            plotly = {"plotly": plotly_url()} if name == "space" else {}
                            Panel(name, elem_id=f"view-{name}", **plotly)
            with gr.Row():
                with gr.Column(scale=11, min_width=320):
                    Panel("answer")
                with gr.Column(scale=9, min_width=320):
                    Panel("inspector")
