"""The layout and its wiring: which control calls which handler, which panel shows the result."""

import json
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

import vlm

from . import examples, limits, static_cache
from .concurrency import limit_concurrency
from .handlers.loading import in_use
from .inputs import Page, Photo, Photos
from .panels import Failure, Feed, Panel, plotly_url, program_head, shared_css
from .run_request import SETTINGS
from .server import Server
from .uploads import EXAMPLES

TITLE = "Visual Token Explorer"
INTRODUCTION = (
    "<h1>Visual Token Explorer</h1><p><em>What is a visual token?</em> Give a photo and a"
    " question.</p>"
)
FOOTER = (
    "<p>The notation is that of Matteo Nulli, <em>De-mystifying Multimodal Learning: Enabling"
    " Vision in Language Models</em>, 2026. Example photos: see"
    " <code>assets/examples/CREDITS.md</code>.</p>"
)
QUESTIONS = (
    "What is in this image?",
    "Describe the image.",
    "What animal is this?",
    "What colour is it?",
    "Is there a cat in the image?",
)
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
BUSY, IDLE = (
    "(...photos) => { window.VTE.begin(...photos); }",
    "() => window.VTE.store.set({ busy: false, awaited: false })",
)
SIGHT = "(...photos) => { window.VTE.sight(...photos); }"
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# questions in line at once, who comes then is asked to try again; visitors whose choice of a model
# is remembered
WAITING, VISITORS = 200, 300
QUIET: dict[str, Any] = {"show_progress": "hidden"}


def theme() -> gr.themes.Base:
    """System fonts only: the page asks nobody else for anything."""
    return gr.themes.Soft(
        font=["ui-sans-serif", "system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )


def launch_options(demo: Page) -> dict:
    """What `demo.launch` needs beside the page itself."""
    return {
        "theme": theme(),
        "head": program_head(**demo.backend.precomputed.describe_to_page()),
        "css": CSS,
        "max_file_size": "20mb",
        "run_history": False,
        "show_error": False,
        "ssr_mode": False,
        "state_session_capacity": VISITORS,
        "app_kwargs": {
            "middleware": [Middleware(limits.RequestLimits), Middleware(static_cache.StaticCache)]
        },
    }


CSS = (
    shared_css()
    + """
.panel-title h3 { margin: 6px 0 0; } .panel-title p { margin: 0 0 4px; font-size: .9rem; }
.gradio-container { padding: 0 !important; }
.gradio-container > .main { max-width: 1600px; padding: 6px 14px !important; }
.introduction { flex: 1 0 auto !important; width: auto !important; }
.introduction h1 { font-size: 1.2rem; margin: 0; display: inline; }
.introduction p { display: inline; margin-left: 10px; font-size: .88rem; }
#status { flex: 3 1 300px; }
#lesson { flex: 0 0 auto; width: auto !important; min-width: 0 !important; }
.gradio-container .contain > .wrap, .gradio-container .contain { gap: 6px !important; }
.gradio-container .row { gap: 12px !important; }
.gradio-container .column { gap: 6px !important; }
/* the place of the stage views keeps its size: nothing jumps when another one opens */
#views { height: 448px; overflow-y: auto; align-content: flex-start; }
#answer, #inspector { height: 274px; overflow-y: auto !important; }
@media (max-width: 900px) {
  #views, #answer, #inspector { height: auto; }
  .introduction { flex: 1 1 260px !important; }
}
#labs > .panel { flex: 1 1 320px; min-width: 0; }
#labs > .panel:has(.lab[hidden]) { display: none !important; }
#examples img { width: 100% !important; height: 100% !important; object-fit: cover; }
#controls .gallery:not(.container) {
  display: grid; grid-template-columns: repeat(6, 1fr); gap: 4px;
}
#controls .gallery .container { width: 100% !important; height: 44px !important; }
#controls textarea { min-height: 34px !important; }
#models > button span { overflow-wrap: anywhere; text-align: left; min-width: 0; }
#bringing, #bringing-second { padding: 0 10px 6px !important; width: auto !important; }
#views > .panel { display: none !important; flex: 1 1 300px; min-width: 0; width: auto !important; }
"""
    + ", ".join(f"[data-open~={name}] #views > #view-{name}" for name in VIEWS)
    + """ { display: block !important; }
/* after an error the panels keep what they showed; the notice says what was wrong */
.panel [data-testid="status-tracker"]:has(.error) { display: none !important; }
.panel, .panel-title, .introduction, .panel .html-container, .panel-title .html-container,
.introduction .html-container {
  border: 0 !important; padding: 0 !important;
}
"""
)


def announce_model(first: str) -> str:
    """The script that names the model in use, unless it is the first one."""
    return (
        f"(name, four) => {{ window.VTE.bring(name.trim() === {json.dumps(first)} && !four ? ''"
        " : name.trim() + (four ? ' in 4-bit' : '')); }"
    )


def says_where_it_failed(event, place: str):
    """The same event, whose failure is said at the place where the visitor asked (`Failure`)."""
    event.failure(None, js=f"() => {{ window.VTE.fail('{place}'); }}", **PRIVATE)
    event.success(None, js=f"() => {{ window.VTE.succeed('{place}'); }}", **PRIVATE)
    return event


def titled(title: str, words: str, elem_id: str | None = None) -> None:
    """Put a panel's title, and a sentence about it, into the page."""
    gr.HTML(f"<h3>{title}</h3><p>{words}</p>", elem_id=elem_id, elem_classes="panel-title")


def decoding_controls() -> tuple[list[gr.components.Component], gr.HTML]:
    """The hyper-parameters d of D_d, in the order of `run_request.SETTINGS`, and a place for what
    came with the model.
    """
    with gr.Accordion("Decoding", open=False):
        gr.HTML(
            "How the next token is chosen. At temperature 0 the most probable token is always taken"
            " (greedy). Above 0 a token is drawn by chance, and the other settings say among which."
        )
        came_with = gr.HTML("", elem_id="came-with")
        with gr.Row():
            temperature = gr.Slider(
                0,
                2,
                0,
                step=0.05,
                label="temperature",
                info="0 greedy; below 1 cautious, above 1 adventurous",
            )
            top_k = gr.Slider(
                0, 100, 0, step=1, label="top-k", info="only the k most probable tokens; 0: all"
            )
            top_p = gr.Slider(
                0.05,
                1,
                1,
                step=0.05,
                label="top-p (nucleus)",
                info="only the fewest tokens that together reach p",
            )
        with gr.Row():
            repetition_penalty = gr.Slider(
                1,
                2,
                1,
                step=0.01,
                label="repetition penalty",
                info="above 1: what was said becomes less probable",
                elem_id="repetition-penalty",
            )
            seed = gr.Number(
                0, precision=0, minimum=0, label="seed", info="the same seed gives the same answer"
            )
            max_new_tokens = gr.Slider(1, 128, 32, step=1, label="longest answer", info="in tokens")
    return [temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens], came_with


def plane_controls() -> list[gr.components.Component]:
    """How tokens are laid out, in the order of `run_request.PLANE`."""
    with gr.Accordion("Token space: projection", open=False):
        with gr.Row():
            method = gr.Radio(
                [("PCA", "pca"), ("UMAP", "umap"), ("t-SNE", "tsne")],
                value="pca",
                label="method",
                elem_id="method",
            )
            dimensions = gr.Radio(
                [("plane", 2), ("space", 3)], value=2, label="dimensions", elem_id="dimensions"
            )
        with gr.Row():
            seed = gr.Number(
                0,
                precision=0,
                minimum=0,
                maximum=2**31 - 1,
                label="seed",
                info="the same seed, the same plot",
            )
            neighbours = gr.Number(
                15,
                precision=0,
                minimum=2,
                maximum=200,
                label="neighbours",
                info="few: details, many: the whole",
            )
            metric = gr.Radio(["cosine", "euclidean"], value="cosine", label="distance")
    return [method, dimensions, seed, neighbours, metric]


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


def build(server: Server | None = None) -> Page:
    """The whole page, over a server of its own if none is given."""
    server = server or Server()
    with Page(
        server, title=TITLE, fill_width=True, delete_cache=(limits.EVERY, limits.KEPT)
    ) as demo:
        choice = gr.State(server.models.first)
        with gr.Row():
            gr.HTML(INTRODUCTION, elem_classes="introduction")
            Panel("lesson")
            status = Panel("status")
        first = server.precomputed.runs()[:1]  # what a visitor sees on arrival
        opening = server.precomputed.opening if first else {}
        size = opening.get("ledger", {})
        record, plane, answer, words, instant = (
            Feed("record", server_functions=script_handlers(server)),
            Feed("plane"),
            Feed("answer"),
            Feed("words"),
            Feed("instant"),
        )
        address, link = gr.Textbox(visible=False), Feed("link")
        Panel("stage_strip")
        with gr.Row():
            with gr.Column(scale=5, min_width=280, elem_id="controls"):
                image = Photo(
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
                    image,
                    label="Photos to try",
                    elem_id="examples",
                    api_visibility="private",
                )
                question = gr.Textbox(
                    examples.QUESTIONS[0][1], label="Question", max_lines=3, elem_id="question"
                )
                with gr.Row():
                    go = gr.Button("Run", variant="primary", elem_id="run", min_width=80)
                    stop = gr.Button("Stop", elem_id="stop", min_width=80)
                Failure("run")
                Panel("instant")
                with gr.Accordion(
                    in_use(server.models.name), open=False, elem_id="models"
                ) as in_use_title:
                    wanted = gr.Dropdown(
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
                        four_bit = gr.Checkbox(
                            False, label="4-bit", elem_id="four-bit", min_width=60
                        )
                        load = gr.Button("Load", elem_id="load", min_width=80)
                    bringing = Panel("status", elem_id="bringing")
                    Failure("model")
                with gr.Accordion(
                    "More photos for the same question", open=False, elem_id="together"
                ):
                    also = Photos(
                        file_count="multiple",
                        file_types=["image"],
                        label="Up to three more, for models that read several",
                        height=110,
                        elem_id="also",
                    )
                with gr.Accordion("Questions to try", open=False):
                    gr.Examples(
                        list(QUESTIONS), question, label="Click one", api_visibility="private"
                    )
                settings, came_with = decoding_controls()
                layout = plane_controls()
                Failure("plane")
                Panel("history")
            with gr.Column(scale=17, min_width=320):
                with gr.Row():
                    with gr.Column(scale=6, min_width=300):
                        Panel("received")
                    with gr.Column(scale=11, min_width=320):
                        Panel("view_tabs")
                        with gr.Row(elem_id="views"):
                            for name in VIEWS:
                                Panel(
                                    name,
                                    elem_id=f"view-{name}",
                                    **({"plotly": plotly_url()} if name == "space" else {}),
                                )
                with gr.Row():
                    with gr.Column(scale=11, min_width=320):
                        Panel("answer")
                    with gr.Column(scale=9, min_width=320):
                        Panel("inspector")
        with gr.Accordion(
            "Take home: this run as a page, a file, a table, a link",
            open=False,
            elem_id="taking-home",
        ):
            Panel(
                "take_home",
                server_functions=limit_concurrency("long", server.tensors, server.offline),
            )
        titled(
            "Experiments",
            "Change the visual tokens and let the model answer again: what the picture is really"
            " used for. Select patches above, then choose.",
        )
        trial = Panel("experiments", event="experiment")
        Failure("experiment")
        titled(
            "Published findings, tested on your photo",
            "What others found out about visual tokens, mostly in larger models: asked of this"
            " model and this photo, with a tolerance that was fixed before anybody looked, or made"
            " stricter since. Nothing is bent to fit.",
        )
        tested = Panel("facts", event="findings")
        Failure("findings")
        titled(
            "Two models side by side",
            "Another model on the same photo and question. Both answer with what is set under"
            " Decoding. A part of the photo that is selected lights the tokens of both.",
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=240):
                other = gr.Dropdown(
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
        titled(
            "Photos against texts",
            "Contrastive learning, the way a vision encoder comes to be: matching photos and texts"
            " point the same way. Click a cell to see which patches, and which words, speak"
            " for it.",
            elem_id="contrastive",
        )
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                texts = gr.Textbox(
                    examples.LINES,
                    label="Texts, one a line",
                    lines=5,
                    max_lines=12,
                    elem_id="texts",
                )
                more = Photos(
                    file_count="multiple",
                    file_types=["image"],
                    label="More photos (optional)",
                    height=120,
                    elem_id="more",
                )
                add = gr.Button("Add the example photos", size="sm", elem_id="more-examples")
                with gr.Accordion("Zero-shot classifier", open=False):
                    template = gr.Textbox(
                        "",
                        label="Template: makes each line a label",
                        placeholder="a photo of a {}",
                        max_lines=1,
                        elem_id="template",
                    )
                    ensemble = gr.Checkbox(
                        False,
                        label="prompt ensemble: the mean over several sentences",
                        elem_id="ensemble",
                    )
                with gr.Accordion("Models", open=False):
                    choices = [
                        (f"{server.models.contrastive_name} (here)", server.models.contrastive_name)
                    ]
                    choices += [
                        (
                            (
                                f"{each.name}/{each.pretrained} · {each.parameters} M parameters ·"
                                f" {each.licence}"
                            ),
                            f"{each.name}/{each.pretrained}",
                        )
                        for each in vlm.LISTED
                    ]
                    name = gr.Dropdown(
                        choices,
                        value=server.models.contrastive_name,
                        allow_custom_value=True,
                        label="Model",
                        info=(
                            "or any NAME/WEIGHTS that open_clip knows, or hf-hub:OWNER/NAME; others"
                            " than the first are fetched"
                        ),
                        elem_id="model",
                    )
                    beside = gr.Dropdown(
                        [("none", ""), *choices],
                        value="",
                        allow_custom_value=True,
                        label="Beside it",
                        elem_id="beside",
                    )
                match = gr.Button("Compare", elem_id="compare")
                Failure("lab")
            with gr.Column(scale=9, min_width=320), gr.Row(elem_id="labs"):
                similarity = Panel(
                    "similarity",
                    value=opening.get("similarity"),
                    server_functions=limit_concurrency("long", server.cell),
                )
                second = Panel(
                    "similarity",
                    elem_id="similarity-beside",
                    server_functions=limit_concurrency("long", server.cell),
                )
        titled(
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
        with gr.Accordion(
            "Is this true? Check the page against the model’s own forward pass", open=False
        ):
            check = gr.Button("Check", elem_id="check")
            Failure("check")
            differences = Panel("checks")
        gr.HTML(FOOTER)

        own = [came_with, settings[SETTINGS.index("repetition_penalty")]]
        demo.load(
            server.arrive,
            address,
            [status, *own],
            js="() => [window.VTE.link.came]",
            concurrency_limit=None,
            **PRIVATE,
            **QUIET,
        )
        asked = [go.click, question.submit]
        demo.load(lambda: [server.offered()] * 2, None, [wanted, other], **PRIVATE, **QUIET)
        tried.dataset.click(
            server.at_once,
            [tried.dataset, choice],
            [question, instant],
            queue=False,
            **PRIVATE,
            **QUIET,
        )
        choosing = load.click(
            server.choose,
            [wanted, four_bit],
            [bringing, choice, in_use_title],
            concurrency_id="loading",
            **PRIVATE,
            **QUIET,
        )
        choosing.success(server.own_settings, choice, own, **PRIVATE, **QUIET)
        choosing.success(None, [wanted, four_bit], js=announce_model(server.models.name), **PRIVATE)
        says_where_it_failed(choosing, "model")
        gr.on([image.change, also.change], None, [image, also], js=SIGHT, **PRIVATE)
        gr.on(asked, None, [image, also], js=BUSY, **PRIVATE)
        running = gr.on(
            asked,
            server.run,
            [image, also, question, choice, *layout, *settings],
            [record, plane, answer, words],
            concurrency_id="model",
            **PRIVATE,
            **QUIET,
        )
        compared = [image, more, texts, template, ensemble, name, beside]
        says_where_it_failed(
            running.success(server.compare, compared, [similarity, second], **PRIVATE, **QUIET),
            "lab",
        )
        counted = server.ledger, [width, height], tokens
        running.success(server.photo_size, image, [width, height], **PRIVATE, **QUIET).success(
            *counted, **PRIVATE, **QUIET
        )
        says_where_it_failed(
            gr.on([count.click, width.submit, height.submit], *counted, **PRIVATE, **QUIET),
            "ledger",
        )
        says_where_it_failed(running, "run")
        says_where_it_failed(
            gr.on(
                [
                    control.submit if isinstance(control, gr.Number) else control.input
                    for control in layout
                ],
                server.reproject,
                [image, also, question, choice, *layout],
                plane,
                **PRIVATE,
                **QUIET,
            ),
            "plane",
        )
        add.click(server.example_photos, None, more, **PRIVATE, **QUIET)
        trying = trial.experiment(
            server.experiment, None, trial, concurrency_id="model", **PRIVATE, **QUIET
        )
        says_where_it_failed(trying, "experiment")
        says_where_it_failed(
            match.click(server.compare, compared, [similarity, second], **PRIVATE), "lab"
        )
        fetching = pair.click(
            server.bring, other, coming, concurrency_id="loading", **PRIVATE, **QUIET
        )
        pairing = fetching.success(
            server.beside,
            [image, question, other, *settings],
            couple,
            concurrency_id="model",
            **PRIVATE,
            **QUIET,
        )
        testing = tested.findings(
            server.findings, None, tested, concurrency_id="model", **PRIVATE, **QUIET
        )
        for event, place in ((fetching, "beside"), (pairing, "beside"), (testing, "findings")):
            says_where_it_failed(event, place)
        stop.click(None, js=IDLE, cancels=[running, trying, fetching, pairing, testing], **PRIVATE)
        says_where_it_failed(
            check.click(
                server.comparisons,
                [image, also, question, choice],
                differences,
                concurrency_id="model",
                **PRIVATE,
                **QUIET,
            ),
            "check",
        )
        demo.load(
            server.restore,
            address,
            [image, question, *settings, *layout, wanted, choice, link],
            js="() => [window.VTE.link.came]",
            **PRIVATE,
            **QUIET,
        )
        endpoints(server, image, question, settings, more, texts)
    # a second: the place in the line and the estimate stay true when somebody leaves it
    return demo.queue(max_size=WAITING, status_update_rate=1)


def endpoints(server: Server, image, question, settings, more, texts) -> None:
    """The named API: `/answer` (streams), `/trace` and `/similarity`."""
    text, record, matrices, button = (
        gr.Textbox(visible=False),
        gr.JSON(visible=False),
        gr.JSON(visible=False),
        gr.Button(visible=False),
    )
    button.click(
        server.answer_endpoint,
        [image, question, *settings],
        text,
        api_name="answer",
        concurrency_id="model",
    )
    button.click(
        server.trace_endpoint,
        [image, question, *settings],
        record,
        api_name="trace",
        concurrency_id="model",
    )
    button.click(server.similarity_endpoint, [more, texts], matrices, api_name="similarity")
