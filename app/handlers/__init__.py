"""What happens when a visitor does something.

Plain functions, one file a part of the page: tests call them without a server.
"""

from .answering import SETTINGS, Plane, decoding, encode, reproject, run
from .beside import beside, bring
from .endpoints import answer_endpoint, similarity_endpoint, trace_endpoint
from .experiments import experiment
from .facts import comparisons, findings
from .lab import cell, compare
from .links import restore
from .loading import arrive, choose, in_use, offered, own_settings, status
from .photos import EXAMPLES, at_once, example_photos, open_upload, photo_size
from .take_home import offline, tensors
from .token_ledger import ledger
from .views import layer, lens, lens_rows, rows, word, word_maps
from .words import ablation, looked, relevancy

__all__ = [
    "EXAMPLES",
    "SETTINGS",
    "Plane",
    "ablation",
    "answer_endpoint",
    "arrive",
    "at_once",
    "beside",
    "bring",
    "cell",
    "choose",
    "compare",
    "comparisons",
    "decoding",
    "encode",
    "example_photos",
    "experiment",
    "findings",
    "in_use",
    "layer",
    "ledger",
    "lens",
    "lens_rows",
    "looked",
    "offered",
    "offline",
    "open_upload",
    "own_settings",
    "photo_size",
    "relevancy",
    "reproject",
    "restore",
    "rows",
    "run",
    "similarity_endpoint",
    "status",
    "tensors",
    "trace_endpoint",
    "word",
    "word_maps",
]
