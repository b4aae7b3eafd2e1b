"""A link to what is seen: the page writes it (`app/web/src/page/permalink.ts`), here it is read."""

import html
from pathlib import Path
from urllib.parse import parse_qs

import gradio as gr

import vlm

from .. import examples
from ..backend import Backend
from ..checks import MAX_QUESTION
from ..models import Choice
from ..run_request import PLANE, SETTINGS, Plane, decoding
from ..uploads import example_paths
from .permissions import check_model

MAX_LINK = 8_000  # characters
MOST = 1_000_000  # of a number in it; JSON's have an end


def restored(server: Backend, link: str) -> tuple | None:
    """What a link asks for: (example, question, settings, plane, choice, what the page does then);
    None if it is no link of ours.

    A link is a stranger's: of it only what any visitor could choose is taken, and no model is
    brought for it.
    """
    said = (
        {
            name: values[0]
            for name, values in parse_qs(link.removeprefix("#"), max_num_fields=40).items()
        }
        if isinstance(link, str) and len(link) <= MAX_LINK
        else {}
    )
    paths = {Path(path).name: path for path in example_paths()}
    if said.get("example") not in paths or not 0 < len(said.get("question", "")) <= MAX_QUESTION:
        return None
    try:
        settings = [float(said[name]) for name in SETTINGS]
        decoding(*settings)
        plane = [
            said["method"],
            int(said["dimensions"]),
            int(said["projection_seed"]),
            int(said["neighbours"]),
            said["metric"],
        ]
        Plane.of(*plane)
        selected = [int(token) for token in said.get("selected", "").split()]
        then = {
            "selected": [token for token in selected if 0 <= token < MOST],
            "open": said.get("open", "").split()[:2],
            "layer": max(-1, min(int(said.get("layer", -1)), MOST)),
            "lesson": max(0, min(int(said.get("lesson", 0)), MOST)) - 1,
        }
        choice = Choice(check_model(server.settings, said.get("model", server.models.name)))
    except (KeyError, ValueError, OverflowError, vlm.VLMError):
        return None
    same = (choice, tuple(settings), tuple(plane)) == (
        server.models.first,
        examples.SETTINGS,
        examples.LAYOUT,
    )
    if same and (said["example"], said["question"]) in [
        (each.photo, each.question) for each in server.precomputed.runs()
    ]:
        then["instant"] = {"photo": said["example"]}  # it was computed beforehand
    return paths[said["example"]], said["question"], settings, plane, choice, then


def restore(server: Backend, link: str) -> tuple:
    """The controls as a link has them, and what the page does then: (photo, question, *settings,
    *plane, model to choose, choice, link).
    """
    found = restored(server, link)
    if found is None:
        return (gr.skip(),) * (2 + len(SETTINGS) + len(PLANE) + 3)
    path, question, settings, plane, choice, then = found
    if choice != server.models.first and server.models.at_hand(choice) is None:
        gr.Warning(
            f"This link was made with {html.escape(choice.name)}, which is not in memory here. Load"
            " it under Model, then press Run."
        )
        return (path, question, *settings, *plane, choice.name, gr.skip(), gr.skip())
    return (path, question, *settings, *plane, choice.name, choice, then)
