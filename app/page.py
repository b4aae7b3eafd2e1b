"""The page: its sections in their order, over one server."""

import gradio as gr
from starlette.middleware import Middleware

from . import limits, static_cache
from .inputs import Page
from .panels import Panel, program_head
from .sections.contrastive import Contrastive
from .sections.endpoints import add_endpoints
from .sections.events import PRIVATE, QUIET
from .sections.experiments import Experiments
from .sections.feeds import Feeds
from .sections.findings import Findings
from .sections.question import Question
from .sections.second_model import SecondModel
from .sections.self_check import SelfCheck
from .sections.stages import Stages
from .sections.take_home import TakeHome
from .sections.token_budget import TokenBudget
from .server import Server
from .styles import CSS, theme

TITLE = "Visual Token Explorer"
INTRODUCTION = (
    "<h1>Visual Token Explorer</h1><p><em>What is a visual token?</em> Give a photo and a"
    " question.</p>"
)
FOOTER = (
    "<p>The notation is that of Matteo Nulli, <em>De-mystifying Multimodal Learning: Enabling"
    " Vision in Language Models</em>, 2026. Example photos: see"
    " <code>assets/examples/CREDITS.md</code>.</p>"
)
# questions in line at once, who comes then is asked to try again; visitors whose choice of a model
# is remembered
WAITING, VISITORS = 200, 300


def launch_options(demo: Page) -> dict:
    """What `demo.launch` needs beside the page itself."""
    return {
        "theme": theme(),
        "head": program_head(**demo.backend.precomputed.describe_to_page()),
        "css": CSS,
        "max_file_size": "20mb",
        "run_history": False,
        "show_error": False,
        "ssr_mode": False,
        "state_session_capacity": VISITORS,
        "app_kwargs": {
            "middleware": [Middleware(limits.RequestLimits), Middleware(static_cache.StaticCache)]
        },
    }


def build(server: Server | None = None) -> Page:
    """The whole page, over a server of its own if none is given."""
    server = server or Server()
    # what a visitor sees on arrival
    opening = server.precomputed.opening if server.precomputed.runs() else {}
    with Page(
        server, title=TITLE, fill_width=True, delete_cache=(limits.EVERY, limits.KEPT)
    ) as demo:
        with gr.Row():
            gr.HTML(INTRODUCTION, elem_classes="introduction")
            Panel("lesson")
            status = Panel("status")
        feeds = Feeds(server)
        Panel("stage_strip")
        with gr.Row():
            question = Question(server, feeds)
            Stages()
        TakeHome(server)
        experiments, findings = Experiments(server), Findings(server)
        second = SecondModel(server, question)
        contrastive = Contrastive(server, question, opening)
        TokenBudget(server, question, opening)
        SelfCheck(server, question)
        gr.HTML(FOOTER)
        question.let_stop([*experiments.events, *second.events, *findings.events])
        welcome(server, demo, status, feeds, question, second)
        add_endpoints(server, question, contrastive)
    # a second: the place in the line and the estimate stay true when somebody leaves it
    return demo.queue(max_size=WAITING, status_update_rate=1)


def welcome(
    server: Server,
    demo: Page,
    status: Panel,
    feeds: Feeds,
    question: Question,
    second: SecondModel,
) -> None:
    """What happens when a visitor comes: how far the models are, which there are to choose from,
    and what the link with which they came asks for.
    """
    came = "() => [window.VTE.link.came]"
    demo.load(
        server.arrive,
        feeds.address,
        [status, *question.decoding.own],
        js=came,
        concurrency_limit=None,
        **PRIVATE,
        **QUIET,
    )
    demo.load(
        lambda: [server.offered()] * 2,
        None,
        [question.model.wanted, second.other],
        **PRIVATE,
        **QUIET,
    )
    demo.load(
        server.restore,
        feeds.address,
        [
            question.image,
            question.question,
            *question.decoding.settings,
            *question.plane.layout,
            question.model.wanted,
            question.model.choice,
            feeds.link,
        ],
        js=came,
        **PRIVATE,
        **QUIET,
    )
