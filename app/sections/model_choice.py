"""Which vision-language model answers."""

import json

import gradio as gr

from ..handlers.loading import in_use
from ..panels import Failure, Panel
from ..server import Server
from .decoding import DecodingControls
from .events import PRIVATE, QUIET, report_failure


class ModelChoice:
    """The list of models, and what is in use.

    Attributes:
        choice: the model in use by this visitor.
        wanted: the model that is to be loaded.
    """

    def __init__(self, server: Server) -> None:
        self.choice = gr.State(server.models.first)
        with gr.Accordion(in_use(server.models.name), open=False, elem_id="models") as self.title:
            self.wanted = gr.Dropdown(
                [(f"{server.models.name} (here)", server.models.name)],
                value=server.models.name,
                allow_custom_value=True,
                label="Vision-language model",
                info=(
                    "parameters · memory in bfloat16, in 4-bit · licence; or type"
                    " OWNER/NAME of another on the hub, with @REVISION if it should be a"
                    " certain one, or a folder"
                ),
                elem_id="language-model",
            )
            with gr.Row():
                self.four_bit = gr.Checkbox(False, label="4-bit", elem_id="four-bit", min_width=60)
                self.load = gr.Button("Load", elem_id="load", min_width=80)
            self.bringing = Panel("status", elem_id="bringing")
            Failure("model")

    def wire(self, server: Server, decoding: DecodingControls) -> None:
        """Load the wanted model; its own settings then stand in the controls."""
        wanted = [self.wanted, self.four_bit]
        choosing = self.load.click(
            server.choose,
            wanted,
            [self.bringing, self.choice, self.title],
            concurrency_id="loading",
            **PRIVATE,
            **QUIET,
        )
        choosing.success(server.own_settings, self.choice, decoding.own, **PRIVATE, **QUIET)
        choosing.success(None, wanted, js=announce_model(server.models.name), **PRIVATE)
        report_failure(choosing, "model")


def announce_model(first: str) -> str:
    """The script that names the model in use, unless it is the first one."""
    return (
        f"(name, four) => {{ window.VTE.bring(name.trim() === {json.dumps(first)} && !four ? ''"
        " : name.trim() + (four ? ' in 4-bit' : '')); }"
    )
