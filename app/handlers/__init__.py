"""What happens when a visitor does something. Plain functions, one file a part of the page: tests call them without a server."""

from app.handlers.answering import Plane, check, decoding, encode, reproject, run
from app.handlers.beside import beside, bring
from app.handlers.endpoints import answer_endpoint, similarity_endpoint, trace_endpoint
from app.handlers.experiments import experiment
from app.handlers.lab import cell, compare
from app.handlers.loading import choose, in_use, offered, status
from app.handlers.photos import EXAMPLES, example_photos, open_upload, photo_size
from app.handlers.token_ledger import ledger
from app.handlers.views import layer, lens, rows, word, word_map

__all__ = [
    "EXAMPLES", "Plane", "answer_endpoint", "beside", "bring", "cell", "check", "choose", "compare", "decoding", "encode", "example_photos", "experiment", "in_use", "layer", "ledger", "lens", "offered", "open_upload", "photo_size",
    "reproject", "rows", "run", "similarity_endpoint", "status", "trace_endpoint", "word", "word_map",
]  # fmt: skip
