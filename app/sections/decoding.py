"""How the next token is chosen: the settings of D_d."""

import gradio as gr

from ..run_request import SETTINGS


class DecodingControls:
    """The hyper-parameters d of D_d.

    Attributes:
        settings: the controls, in the order of `run_request.SETTINGS`.
        own: where a model's own settings are shown: in words, and the repetition penalty.
    """

    def __init__(self) -> None:
        with gr.Accordion("Decoding", open=False):
            gr.HTML(
                "How the next token is chosen. At temperature 0 the most probable token is always"
                " taken (greedy). Above 0 a token is drawn by chance, and the other settings say"
                " among which."
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
                    0,
                    precision=0,
                    minimum=0,
                    label="seed",
                    info="the same seed gives the same answer",
                )
                max_new_tokens = gr.Slider(
                    1, 128, 32, step=1, label="longest answer", info="in tokens"
                )
        self.settings = [temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens]
        self.own = [came_with, self.settings[SETTINGS.index("repetition_penalty")]]
