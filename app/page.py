"""The layout and its wiring: which control calls which handler, and which panel shows the result."""

import gradio as gr

from app import handlers
from app.inputs import Page, Photo
from app.panels import Panel, plotly_head, shared_head

TITLE = "Visual Token Explorer"
INTRODUCTION = """# Visual Token Explorer
*What is a visual token?* Give a photo and a question, and look inside every arrow of a vision-language model, with the numbers it computed."""
FOOTER = """The notation is that of Matteo Nulli, *De-mystifying Multimodal Learning: Enabling Vision in Language Models*, 2026.
Example photos: see `assets/examples/CREDITS.md`."""
PHOTOS = ("chelsea.jpg", "coffee.jpg", "astronaut.jpg", "china.jpg", "flower.jpg")
QUESTIONS = ("What is in this image?", "Describe the image.", "What animal is this?", "What colour is it?", "Is there a cat in the image?")
TEXTS = "a photo of a cat\na cup of coffee\nan astronaut\na temple\na flower"
STOPPED = "() => window.VTE.send('stop', {})"
PRIVATE = {"api_visibility": "private"}
QUIET = {"show_progress": "hidden"}


def theme() -> gr.themes.Base:
    """System fonts only: the page asks nobody else for anything."""
    return gr.themes.Soft(font=["ui-sans-serif", "system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def launch_options() -> dict:
    """What `demo.launch` needs beside the page itself."""
    return {"theme": theme(), "head": shared_head(), "css": CSS, "max_file_size": "20mb", "run_history": False, "show_error": False, "ssr_mode": False}


CSS = """
.panel-title h3 { margin: 6px 0 0; } .panel-title p { margin: 0 0 4px; font-size: .9rem; }
.gradio-container { max-width: 1360px !important; }
/* after an error the panels keep what they showed; the notice says what was wrong */
.panel [data-testid="status-tracker"]:has(.error) { display: none !important; }
"""


def titled(title: str, words: str) -> None:
    gr.Markdown(f"### {title}\n{words}", elem_classes="panel-title")


def decoding_controls() -> list[gr.components.Component]:
    """The hyper-parameters d of D_d, in the order of `handlers.decoding`."""
    with gr.Accordion("Decoding: how the next token is chosen", open=False):
        gr.Markdown("At temperature 0 the most probable token is always taken (greedy). Above 0 a token is drawn by chance, and the other settings say among which.")
        with gr.Row():
            temperature = gr.Slider(0, 2, 0, step=0.05, label="temperature", info="0 greedy; below 1 cautious, above 1 adventurous")
            top_k = gr.Slider(0, 100, 0, step=1, label="top-k", info="only the k most probable tokens; 0: all")
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label="top-p (nucleus)", info="only the fewest tokens that together reach p")
        with gr.Row():
            repetition_penalty = gr.Slider(1, 2, 1, step=0.05, label="repetition penalty", info="above 1: what was said becomes less probable")
            seed = gr.Number(0, precision=0, minimum=0, label="seed", info="the same seed gives the same answer")
            max_new_tokens = gr.Slider(1, 128, 32, step=1, label="longest answer", info="in tokens")
    return [temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens]


def build() -> gr.Blocks:
    """The whole page."""
    with Page(title=TITLE) as demo:
        gr.Markdown(INTRODUCTION)
        status = Panel("status")
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                image = Photo(type="filepath", image_mode=None, sources=["upload", "clipboard", "webcam"], label="Photo (X)", height=300, elem_id="photo")
                question = gr.Textbox("What is in this image?", label="Question", max_lines=4, elem_id="question")
                with gr.Row():
                    go = gr.Button("Run", variant="primary", elem_id="run")
                    stop = gr.Button("Stop", elem_id="stop")
                gr.Examples([str(handlers.EXAMPLES / name) for name in PHOTOS], image, label="Photos to try", api_visibility="private")
                gr.Examples(list(QUESTIONS), question, label="Questions to try", api_visibility="private")
                settings = decoding_controls()
            with gr.Column(scale=6, min_width=320):
                titled("The answer", "Each token with the model’s probability for it: brighter is surer. Hover, click or use the arrow keys to see what could have come instead.")
                answer = Panel("answer")
        titled("The pipeline", "From your photo to the answer. Each stage with its real shape and the time it took just now.")
        stages = Panel("stage_strip")
        with gr.Row():
            with gr.Column(min_width=320):
                titled("Patches", "The squares the photo is cut into; each becomes one visual token. Select some and find them in the plane beside.")
                grid = Panel("patch_grid")
            with gr.Column(min_width=320):
                titled("Visual and text tokens in one plane", "The language model reads both in the same space. Projected from many dimensions to two; near dots are similar tokens.")
                with gr.Row():
                    method = gr.Radio([("PCA", "pca"), ("UMAP", "umap")], value="pca", label="Method", elem_id="method")
                    umap_seed = gr.Number(0, precision=0, minimum=0, maximum=2**31 - 1, label="UMAP seed")
                plane = Panel("projection", head=plotly_head())
        titled("Photo against text", "Contrastive learning, the way a vision encoder comes to be: matching photos and texts point the same way. Hover over a text to see which patches speak for it.")
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                texts = gr.Textbox(TEXTS, label="Texts, one a line", lines=5, max_lines=12, elem_id="texts")
                more = gr.File(file_count="multiple", file_types=["image"], label="More photos (optional)", height=120)
                match = gr.Button("Compare", elem_id="compare")
            with gr.Column(scale=6, min_width=320):
                similarity = Panel("similarity")
        with gr.Accordion("Is this true? Check the page against the model’s own forward pass", open=False):
            check = gr.Button("Check", elem_id="check")
            differences = gr.Dataframe(headers=["compared", "largest difference"], interactive=False, label="What the page shows, minus what the model computes in one go")
        gr.Markdown(FOOTER)

        demo.load(handlers.status, None, status, concurrency_limit=None, **PRIVATE, **QUIET)
        inputs = [image, question, method, umap_seed, *settings]
        running = gr.on([go.click, question.submit], handlers.run, inputs, [stages, grid, plane, answer], concurrency_id="model", **PRIVATE, **QUIET)
        running.success(handlers.compare, [image, more, texts], similarity, **PRIVATE, **QUIET)
        stop.click(None, js=STOPPED, cancels=[running], **PRIVATE)
        for control in (method.input, umap_seed.submit):
            control(handlers.reproject, [image, question, method, umap_seed], plane, **PRIVATE)
        match.click(handlers.compare, [image, more, texts], similarity, **PRIVATE)
        check.click(handlers.check, [image, question], differences, **PRIVATE)
        endpoints(image, question, settings, more, texts)
    return demo


def endpoints(image, question, settings, more, texts) -> None:
    """The named API: `/answer` (streams), `/trace` and `/similarity`."""
    text, record, matrices, button = gr.Textbox(visible=False), gr.JSON(visible=False), gr.JSON(visible=False), gr.Button(visible=False)
    button.click(handlers.answer_endpoint, [image, question, *settings], text, api_name="answer", concurrency_id="model")
    button.click(handlers.trace_endpoint, [image, question, *settings], record, api_name="trace", concurrency_id="model")
    button.click(handlers.similarity_endpoint, [more, texts], matrices, api_name="similarity")
