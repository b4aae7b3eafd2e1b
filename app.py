"""Serve the page: `python app.py`, or `gradio app.py` to reload on every change."""

from app import (
    gpu,
)  # noqa: F401, I001  before all else: on ZeroGPU `spaces` has to come before torch
from app.page import build, launch_options

demo = build()

if __name__ == "__main__":
    from app import models

    demo.launch(prevent_thread_lock=True, **launch_options())
    models.start()
    demo.block_thread()
