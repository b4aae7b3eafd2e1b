"""Serve the page: `python app.py`, or `gradio app.py` to reload on every change."""

from app import gpu  # noqa: F401  before all else: on ZeroGPU `spaces` has to come before torch

# isort: split
from app.page import build
from app.serving import launch

demo = build()

if __name__ == "__main__":
    launch(demo)
