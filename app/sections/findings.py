"""Published findings, tested on the visitor's photo."""

from ..panels import Failure, Panel
from ..server import Server
from .events import PRIVATE, QUIET, add_title, report_failure


class Findings:
    """What others found out about visual tokens, asked of this run.

    Attributes:
        events: what can be stopped.
    """

    def __init__(self, server: Server) -> None:
        add_title(
            "Published findings, tested on your photo",
            "What others found out about visual tokens, mostly in larger models: asked of this"
            " model and this photo, with a tolerance that was fixed before anybody looked, or made"
            " stricter since. Nothing is bent to fit.",
        )
        panel = Panel("facts", event="findings")
        Failure("findings")
        testing = panel.findings(
            server.findings, None, panel, concurrency_id="model", **PRIVATE, **QUIET
        )
        self.events = [report_failure(testing, "findings")]
