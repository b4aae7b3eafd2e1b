"""What stands behind one page: settings, models, and what is kept, made once and handed to every
handler.
"""

from .examples import Precomputed
from .gpu import Gpu
from .models import Models
from .recent import Budget, Recent, allowed
from .runs import Runs
from .settings import Settings
from .uploads import Uploads


class Backend:
    """What a page needs behind it; a second one shares nothing with the first.

    Attributes:
        settings: what the operator wants, read once.
        budget: the bytes that everything which is kept may take together.
        models: the models in memory, and those that come.
        gpu: where answers are computed.
        uploads: the visitors' photos.
        precomputed: the runs that came with the page.
        runs: the runs that were asked for.
        contrasts: photos against texts, and the vectors of both.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.read()
        self.budget = Budget(allowed(self.settings))
        self.models = Models(self.settings, self.budget)
        self.gpu = Gpu(self.models)
        self.uploads = Uploads(self.budget)
        self.precomputed = Precomputed(self.settings)
        self.runs = Runs(self.models, self.gpu, self.uploads, self.precomputed, self.budget)
        self.contrasts: Recent = Recent(self.budget, size=4096)
