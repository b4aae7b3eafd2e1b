"""The panels: what a visitor sees of one part of the pipeline.

Each is two static files (html, css) beside this one, and a module of the page's program
(`app/web/src/views`), which comes with the page as one bundle.

A panel's value is JSON; its script reads it with `watch` and writes it with `textContent`, so that
nothing a model, a file or a visitor says is ever parsed as a template or as HTML. Panels know
nothing of each other: they meet in the browser, in the one store of the page
(`app/web/src/core/store.ts`), which the feeds fill with what Python computed.
"""

import functools
import json
from pathlib import Path

import gradio as gr
import plotly

HERE = Path(__file__).parent
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

WEB = HERE.parent / "web" / "dist"


def bundle(name: str) -> Path:
    """Find a bundle of the page's program; its name carries a hash of what it holds."""
    [found] = WEB.glob(f"{name}-*.js")
    return found


gr.set_static_paths([PLOTLY_JS, bundle("page")])


@functools.cache  # Gradio makes a panel anew for every update that leaves it as it is
def written(name: str) -> tuple[str, str]:
    """The html and css of a panel."""
    return tuple((HERE / f"{name}.{kind}").read_text() for kind in ("html", "css"))


def mounted(name: str, event: str | None = None) -> str:
    """Write what Gradio runs when a panel is there: it hands over all that it gives a script.

    Gradio knows an event that a script triggers by its name in quotes.
    """
    given = "element, props, server, trigger, watch" + (f", event: '{event}'" if event else "")
    return f"window.VTE.mount('{name}', {{ {given} }});"


class Panel(gr.HTML):
    """The panel whose files are called `name`; `event`: what its script may trigger."""

    def __init__(
        self,
        name: str,
        elem_id: str | None = None,
        value: dict | None = None,
        event: str | None = None,
        **properties,
    ) -> None:
        html, css = written(name)
        classes = ["panel", "feed"] if name == "feed" else ["panel"]
        super().__init__(
            value=value,
            html_template=html,
            css_template=css,
            js_on_load=mounted(name, event),
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


def bundle_url() -> str:
    """The page's program as a file of its own, which a browser keeps."""
    return f"gradio_api/file={bundle('page').as_posix()}"


def program_head(**shipped) -> str:
    """Put the program into the page, after what it is told of the runs that come with the page
    (see `app/web/src/page/shipped.ts`).

    Gradio does not wait for it, so what is asked of it before it is there waits (`ahead.ts`).
    """
    gr.set_static_paths([shipped["folder"].partition("file=")[2]])
    # inside a script element only "<" can end it
    data = json.dumps(shipped).replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="shipped">{data}</script>'
        f"<script>{bundle('ahead').read_text(encoding='utf-8')}</script>"
        f'<script src="{bundle_url()}"></script>'
    )


def shared_css() -> str:
    """What the views look like together."""
    return (HERE / "views.css").read_text()
