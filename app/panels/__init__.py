"""The panels: what a visitor sees of one part of the pipeline. Each is three static files (html, css, js) beside this one.

A panel's value is JSON; its script reads it with `watch` and writes it with `textContent`, so that nothing a model, a file or a
visitor says is ever parsed as a template or as HTML. Panels know nothing of each other: they meet in the browser, as events on the
document (see `shared.js`).
"""

from pathlib import Path

import gradio as gr
import plotly

HERE = Path(__file__).parent
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

gr.set_static_paths([PLOTLY_JS])


class Panel(gr.HTML):
    """The panel whose files are called `name`."""

    def __init__(self, name: str, **properties) -> None:
        html, css, js = ((HERE / f"{name}.{kind}").read_text() for kind in ("html", "css", "js"))
        super().__init__(value=None, html_template=html, css_template=css, js_on_load=js, apply_default_css=False, elem_id=name.replace("_", "-"), elem_classes="panel", **properties)

    def get_block_name(self) -> str:
        return "html"

    def api_info(self) -> dict:
        return {"type": "object", "description": "what the panel draws"}


def plotly_head() -> str:
    """Plotly from its Python package: no network."""
    return f'<script src="gradio_api/file={PLOTLY_JS.as_posix()}"></script>'


def shared_head() -> str:
    """What every panel's script needs, in the page before any of them runs."""
    return f"<script>{(HERE / 'shared.js').read_text()}</script>"
