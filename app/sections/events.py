"""What the events of all sections have in common."""

from typing import Any

import gradio as gr

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden"}


def report_failure(event, place: str):
    """The same event, whose failure is said at the place where the visitor asked (`Failure`)."""
    event.failure(None, js=f"() => {{ window.VTE.fail('{place}'); }}", **PRIVATE)
    event.success(None, js=f"() => {{ window.VTE.succeed('{place}'); }}", **PRIVATE)
    return event


def add_title(title: str, words: str, elem_id: str | None = None) -> None:
    """Put a panel's title, and a sentence about it, into the page."""
    gr.HTML(f"<h3>{title}</h3><p>{words}</p>", elem_id=elem_id, elem_classes="panel-title")
