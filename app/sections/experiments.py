"""Change the visual tokens and let the model answer again."""

from ..panels import Failure, Panel
from ..server import Server
from .events import PRIVATE, QUIET, add_title, report_failure


class Experiments:
    """The experiments on an answered run.

    Attributes:
        events: what can be stopped.
    """

    def __init__(self, server: Server) -> None:
        add_title(
            "Experiments",
            "Change the visual tokens and let the model answer again: what the picture is really"
            " used for. Select patches above, then choose.",
        )
        panel = Panel("experiments", event="experiment")
        Failure("experiment")
        trying = panel.experiment(
            server.experiment, None, panel, concurrency_id="model", **PRIVATE, **QUIET
        )
        self.events = [report_failure(trying, "experiment")]
