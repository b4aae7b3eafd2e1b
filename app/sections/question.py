"""The photo and the question, with all that a run is asked for with: what begins a run, and what
stops one.
"""

import gradio as gr

from .. import examples
from ..inputs import Photo, Photos
from ..panels import Failure, Panel
from ..server import Server
from ..uploads import EXAMPLES
from .decoding import DecodingControls
from .events import PRIVATE, QUIET, report_failure
from .feeds import Feeds
from .model_choice import ModelChoice
from .plane import PlaneControls

QUESTIONS = (
    "What is in this image?",
    "Describe the image.",
    "What animal is this?",
    "What colour is it?",
    "Is there a cat in the image?",
)
BUSY, IDLE = (
    "(...photos) => { window.VTE.begin(...photos); }",
    "() => window.VTE.store.set({ busy: false, awaited: false })",
)
SIGHT = "(...photos) => { window.VTE.sight(...photos); }"


class Question:
    """The controls of a run.

    Attributes:
        image, also, question: what is asked about, and what is asked.
        model, decoding, plane: who answers, how, and how its tokens are laid out.
        running: the event of a run.
    """

    def __init__(self, server: Server, feeds: Feeds) -> None:
        first = server.precomputed.runs()[:1]  # what a visitor sees on arrival
        with gr.Column(scale=5, min_width=280, elem_id="controls"):
            self.image = Photo(
                str(EXAMPLES / first[0].photo) if first else None,
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard", "webcam"],
                label="Photo (X)",
                height=190,
                elem_id="photo",
            )
            tried = gr.Examples(
                [str(EXAMPLES / photo) for photo, _ in examples.QUESTIONS],
                self.image,
                label="Photos to try",
                elem_id="examples",
                api_visibility="private",
            )
            self.question = gr.Textbox(
                examples.QUESTIONS[0][1], label="Question", max_lines=3, elem_id="question"
            )
            with gr.Row():
                self.go = gr.Button("Run", variant="primary", elem_id="run", min_width=80)
                self.stop = gr.Button("Stop", elem_id="stop", min_width=80)
            Failure("run")
            Panel("instant")
            self.model = ModelChoice(server)
            with gr.Accordion("More photos for the same question", open=False, elem_id="together"):
                self.also = Photos(
                    file_count="multiple",
                    file_types=["image"],
                    label="Up to three more, for models that read several",
                    height=110,
                    elem_id="also",
                )
            with gr.Accordion("Questions to try", open=False):
                gr.Examples(
                    list(QUESTIONS), self.question, label="Click one", api_visibility="private"
                )
            self.decoding = DecodingControls()
            self.plane = PlaneControls()
            Failure("plane")
            Panel("history")
        self.model.wire(server, self.decoding)
        self._show_examples(server, tried, feeds)
        self.running = self._run(server, feeds)
        self._lay_out_anew(server, feeds)

    @property
    def asked(self) -> list[gr.components.Component]:
        """Photos, question and model, in the order of `run_request.RunRequest.of`."""
        return [self.image, self.also, self.question, self.model.choice]

    def _show_examples(self, server: Server, tried: gr.Examples, feeds: Feeds) -> None:
        tried.dataset.click(
            server.at_once,
            [tried.dataset, self.model.choice],
            [self.question, feeds.instant],
            queue=False,
            **PRIVATE,
            **QUIET,
        )

    def _run(self, server: Server, feeds: Feeds):
        photos, begun = [self.image, self.also], [self.go.click, self.question.submit]
        gr.on([self.image.change, self.also.change], None, photos, js=SIGHT, **PRIVATE)
        gr.on(begun, None, photos, js=BUSY, **PRIVATE)
        running = gr.on(
            begun,
            server.run,
            [*self.asked, *self.plane.layout, *self.decoding.settings],
            feeds.run,
            concurrency_id="model",
            **PRIVATE,
            **QUIET,
        )
        return report_failure(running, "run")

    def _lay_out_anew(self, server: Server, feeds: Feeds) -> None:
        changed = [
            control.submit if isinstance(control, gr.Number) else control.input
            for control in self.plane.layout
        ]
        inputs = [*self.asked, *self.plane.layout]
        report_failure(
            gr.on(changed, server.reproject, inputs, feeds.plane, **PRIVATE, **QUIET), "plane"
        )

    def let_stop(self, events: list) -> None:
        """The Stop button ends a run, and these events."""
        self.stop.click(None, js=IDLE, cancels=[self.running, *events], **PRIVATE)
