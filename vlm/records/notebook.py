"""A trace as a notebook shows it: the photo, small, the stages and the answer, each token with its
probability. Small, and nothing of it is code.
"""

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from vlm.records.trace import Trace

SIDE = 160  # pixels of the photo
CELL = "text-align:left;padding:0 10px 0 0;font-variant-numeric:tabular-nums"


def thumbnail(image: Image.Image) -> str:
    """The photo as a picture that lies in the page."""
    small, buffer = image.copy(), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(buffer, "jpeg", quality=80)
    return (
        '<img alt="photo"'
        f' src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )


def html(trace: "Trace") -> str:
    """All that a model, a file or a person said is escaped."""
    photos = " ".join(thumbnail(image) for image in trace.encoded_image.images)
    stages = "".join(
        f'<tr><th style="{CELL}">{escape(stage.symbol)}</th><td'
        f' style="{CELL}">{" × ".join(f"{size:,}" for size in stage.shape)}</td><td'
        f' style="{CELL}">{escape(" × ".join(stage.axes))}</td><td'
        f' style="{CELL}">{stage.milliseconds:.1f} ms</td></tr>'
        for stage in trace.stages
    )
    tokens = " ".join(
        f'<span title="{step.probability:.1%}"'
        f' style="background:rgba(255,200,0,{step.probability:.2f});border:1px solid'
        f' #bbb;border-radius:4px;padding:0 3px;white-space:pre">{escape(step.token_string)}</span>'
        for step in trace.steps
    )
    answer = (
        f"<p><b>{escape(trace.answer)}</b></p><p>{tokens}</p>"
        if trace.steps
        else "<p><i>not answered yet</i></p>"
    )
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:16px"><div>{photos}</div>'
        f"<div><p>{escape(trace.question)}</p>{answer}"
        f'<table style="border-collapse:collapse">{stages}</table></div></div>'
    )
