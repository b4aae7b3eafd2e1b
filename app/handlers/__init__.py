"""What happens when a visitor does something.

Plain functions, one file a part of the page: tests call them without a server.
"""

from .answer_attention import ablation, looked, relevancy
from .answering import SETTINGS, Plane, decoding, encode, reproject, run
from .contrastive import cell, compare
from .endpoints import answer_endpoint, similarity_endpoint, trace_endpoint
from .experiments import experiment
from .findings import comparisons, findings
from .links import restore
from .loading import arrive, choose, in_use, offered, own_settings, status
from .photos import EXAMPLES, at_once, example_photos, open_upload, photo_size
from .second_model import beside, bring
from .take_home import offline, tensors
from .token_budget import ledger
from .views import layer, lens, lens_rows, rows, word, word_maps

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
