"""Records -> what the page's store receives, once each: JSON in which every array is its bytes.

Nothing is computed here that a record has. One file a part of the page.
"""

from ..wire import packed, rounded
from .answer import among_sources, answer, experiment, looked, seen, steps, word
from .checks import comparisons, findings
from .contrastive import cell, matrices, similarity
from .lens import PHRASES, WORDS, lens_rows, lenses
from .patches import layer, rows
from .run import FIRST, beside, plane, record, stages, words
from .token_budget import ledger

__all__ = [
    "FIRST",
    "PHRASES",
    "WORDS",
    "among_sources",
    "answer",
    "beside",
    "cell",
    "comparisons",
    "experiment",
    "findings",
    "layer",
    "ledger",
    "lens_rows",
    "lenses",
    "looked",
    "matrices",
    "packed",
    "plane",
    "record",
    "rounded",
    "rows",
    "seen",
    "similarity",
    "stages",
    "steps",
    "word",
    "words",
]
