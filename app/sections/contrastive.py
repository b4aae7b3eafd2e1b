"""Photos against texts: contrastive learning, the way a vision encoder comes to be."""

import gradio as gr

import vlm

from .. import examples
from ..concurrency import limit_concurrency
from ..inputs import Photos
from ..panels import Failure, Panel
from ..server import Server
from .events import PRIVATE, QUIET, add_title, report_failure
from .question import Question


class Contrastive:
    """The contrastive lab, with one model or with two.

    Attributes:
        more, texts: the photos beside the question's own, and what they are compared with.
    """

    def __init__(self, server: Server, question: Question, opening: dict) -> None:
        add_title(
            "Photos against texts",
            "Contrastive learning, the way a vision encoder comes to be: matching photos and texts"
            " point the same way. Click a cell to see which patches, and which words, speak"
            " for it.",
            elem_id="contrastive",
        )
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                self.texts = gr.Textbox(
                    examples.LINES,
                    label="Texts, one a line",
                    lines=5,
                    max_lines=12,
                    elem_id="texts",
                )
                self.more = Photos(
                    file_count="multiple",
                    file_types=["image"],
                    label="More photos (optional)",
                    height=120,
                    elem_id="more",
                )
                self.add = gr.Button("Add the example photos", size="sm", elem_id="more-examples")
                with gr.Accordion("Zero-shot classifier", open=False):
                    self.template = gr.Textbox(
                        "",
                        label="Template: makes each line a label",
                        placeholder="a photo of a {}",
                        max_lines=1,
                        elem_id="template",
                    )
                    self.ensemble = gr.Checkbox(
                        False,
                        label="prompt ensemble: the mean over several sentences",
                        elem_id="ensemble",
                    )
                self._choose_models(server)
                self.match = gr.Button("Compare", elem_id="compare")
                Failure("lab")
            with gr.Column(scale=9, min_width=320), gr.Row(elem_id="labs"):
                cells = limit_concurrency("long", server.cell)
                value = opening.get("similarity")
                self.panels = [
                    Panel("similarity", value=value, server_functions=cells),
                    Panel("similarity", elem_id="similarity-beside", server_functions=cells),
                ]
        self._wire(server, question)

    def _choose_models(self, server: Server) -> None:
        first = server.models.contrastive_name
        listed = [
            (
                f"{each.name}/{each.pretrained} · {each.parameters} M parameters · {each.licence}",
                f"{each.name}/{each.pretrained}",
            )
            for each in vlm.LISTED
        ]
        choices = [(f"{first} (here)", first), *listed]
        with gr.Accordion("Models", open=False):
            self.name = gr.Dropdown(
                choices,
                value=first,
                allow_custom_value=True,
                label="Model",
                info=(
                    "or any NAME/WEIGHTS that open_clip knows, or hf-hub:OWNER/NAME; others"
                    " than the first are fetched"
                ),
                elem_id="model",
            )
            self.beside = gr.Dropdown(
                [("none", ""), *choices],
                value="",
                allow_custom_value=True,
                label="Beside it",
                elem_id="beside",
            )

    def _wire(self, server: Server, question: Question) -> None:
        compared = [question.image, self.more, self.texts, self.template, self.ensemble]
        compared += [self.name, self.beside]
        after_a_run = question.running.success(
            server.compare, compared, self.panels, **PRIVATE, **QUIET
        )
        report_failure(after_a_run, "lab")
        report_failure(self.match.click(server.compare, compared, self.panels, **PRIVATE), "lab")
        self.add.click(server.example_photos, None, self.more, **PRIVATE, **QUIET)
