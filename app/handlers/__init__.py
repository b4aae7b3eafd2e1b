"""What happens when a visitor does something.

Plain functions, one file a part of the page: tests call them without a server.
"""

from app.handlers.answering import SETTINGS, Plane, decoding, encode, reproject, run
from app.handlers.beside import beside, bring
from app.handlers.endpoints import answer_endpoint, similarity_endpoint, trace_endpoint
from app.handlers.experiments import experiment
from app.handlers.facts import comparisons, findings
from app.handlers.lab import cell, compare
from app.handlers.links import restore
from app.handlers.loading import arrive, choose, in_use, offered, own_settings, status
from app.handlers.photos import EXAMPLES, at_once, example_photos, open_upload, photo_size
from app.handlers.take_home import offline, tensors
from app.handlers.token_ledger import ledger
from app.handlers.views import layer, lens, lens_rows, rows, word, word_maps
from app.handlers.words import ablation, looked, relevancy

__all__ = [
    "EXAMPLES",
    "Plane",
    "SETTINGS",
    "ablation",
    "looked",
    "relevancy",
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
    "offered",
    "offline",
    "open_upload",
    "own_settings",
    "photo_size",
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
