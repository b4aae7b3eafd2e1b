"""Serve the page: what `python app.py` and the command `serve` do once the page is built."""

from .inputs import Page
from .page import launch_options


def launch(demo: Page, host: str | None = None, port: int | None = None) -> None:
    """Open the page, load the models behind it, and stay until somebody ends it."""
    demo.launch(
        prevent_thread_lock=True, server_name=host, server_port=port, **launch_options(demo)
    )
    demo.backend.models.begin_loading()
    demo.block_thread()
