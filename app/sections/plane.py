"""How the token space is laid out."""

import gradio as gr


class PlaneControls:
    """How tokens are laid out.

    Attributes:
        layout: the controls, in the order of `run_request.PLANE`.
    """

    def __init__(self) -> None:
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
        self.layout = [method, dimensions, seed, neighbours, metric]
