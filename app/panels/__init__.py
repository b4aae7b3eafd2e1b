"""The panels: what a visitor sees of one part of the pipeline.

Each is three static files (html, css, js) beside this one.

A panel's value is JSON; its script reads it with `watch` and writes it with `textContent`, so that
nothing a model, a file or a visitor says is ever parsed as a template or as HTML. Panels know
nothing of each other: they meet in the browser, in the one store of the page (`store.js`), which
the feeds fill with what Python computed.
"""

import functools
import json
from pathlib import Path

import gradio as gr
import plotly

HERE = Path(__file__).parent
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

# in the page before any panel's script
SHARED = (
    "store.js",
    "shared.js",
    "pictures.js",
    "board.js",
    "live.js",
    "glossary.js",
    "selection.js",
    "maps.js",
)

gr.set_static_paths([PLOTLY_JS])


@functools.cache  # Gradio makes a panel anew for every update that leaves it as it is
def written(name: str) -> tuple[str, str, str]:
    """The html, css and js of a panel."""
    return tuple((HERE / f"{name}.{kind}").read_text() for kind in ("html", "css", "js"))


class Panel(gr.HTML):
    """The panel whose files are called `name`."""

    def __init__(
        self, name: str, elem_id: str | None = None, value: dict | None = None, **properties
    ) -> None:
        html, css, js = written(name)
        classes = ["panel", "feed"] if name == "feed" else ["panel"]
        super().__init__(
            value=value,
            html_template=html,
            css_template=css,
            js_on_load=js,
            apply_default_css=False,
            elem_id=elem_id or name.replace("_", "-"),
            elem_classes=classes,
            **properties,
        )

    def get_block_name(self) -> str:
        """Name the component as Gradio's own HTML, whose front end draws it."""
        return "html"

    def api_info(self) -> dict:
        """Describe the panel's value as a JSON object."""
        return {"type": "object", "description": "what the panel draws"}


class Failure(Panel):
    """Where it is said that something failed which the visitor asked for at this place."""

    def __init__(self, place: str) -> None:
        super().__init__("failure", elem_id=f"failure-{place}")


class Feed(Panel):
    """Where one slice of the store comes in: its value is what Python computed."""

    def __init__(self, name: str, **properties) -> None:
        super().__init__("feed", elem_id=f"feed-{name}", **properties)

    def postprocess(self, value: dict | None) -> list[dict] | None:
        """In a list: Gradio's client makes a dict that `gr.skip()` follows into that in place, so
        that a value which it has not shown yet would be lost.
        """
        return None if value is None else [value]


def plotly_url() -> str:
    """Plotly from its Python package: no network."""
    return f"gradio_api/file={PLOTLY_JS.as_posix()}"


def told(*names: str) -> str:
    """What is told on the page and lies in files of its own, as `VTE.GLOSSARY` and so on."""
    return (
        "<script>window.VTE = {"
        + ", ".join(
            f"{name.upper()}: {json.dumps(json.loads((HERE / f'{name}.json').read_text()))}"
            for name in names
        )
        + "};</script>"
    )


def shared_head() -> str:
    """What every panel's script needs, in the page before any of them runs."""
    return told("glossary", "lesson") + "".join(
        f"<script>{(HERE / name).read_text()}</script>"
        for name in (*SHARED, "failures.js", "waiting.js", "permalink.js")
    )


def shipped_head(**told) -> str:
    """Start the runs that come with the page (see `shipped.js`) before any panel is there."""
    gr.set_static_paths([told["folder"].partition("file=")[2]])
    data = json.dumps(told).replace("<", "\\u003c")  # inside a script element only "<" can end it
    return (
        '<script type="application/json"'
        f' id="shipped">{data}</script><script>{(HERE / "shipped.js").read_text()}</script>'
    )


def shared_css() -> str:
    """What the views look like together."""
    return (HERE / "views.css").read_text()
