"""What the page's script asks about an earlier run: a layer, a patch, a token, a word."""

import vlm

from .. import payloads
from ..backend import Backend
from ..checks import MAX_TEXT, whole_number
from ..runs import BLOCK
from .errors import asked_by_script

BESIDE = (
    "In this model the visual tokens stand beside the sequence, read by cross-attention: they say"
    " nothing on the way through the layers."
)


@asked_by_script
def layer(server: Backend, run: str, number: int) -> dict:
    """PCA-RGB of one layer of the encoder."""
    trace = server.runs.open(run).trace
    return payloads.layer(trace, whole_number(number, "layer", len(trace.patch_features)))


@asked_by_script
def rows(server: Backend, run: str, patch: int, number: int) -> dict:
    """All that the views tell of one patch at one layer of the encoder."""
    opened = server.runs.open(run)
    trace = opened.trace
    patch, number = (
        whole_number(patch, "patch", len(trace.patches.boxes)),
        whole_number(number, "layer", len(trace.patch_features)),
    )
    if not number and len(trace.patch_features) > 1:  # what layer 1 reads: nobody has looked yet
        return payloads.rows(trace, patch, number)
    try:
        return payloads.rows(trace, patch, number, opened.look.encoder_attention())
    except vlm.ModelError as error:  # an encoder without attention has everything else
        return payloads.rows(trace, patch, number, without=str(error))


def positions(trace: vlm.Trace):
    """Where the visual tokens stand in the sequence.

    Raises:
        vlm.ModelError: nowhere.
    """
    if trace.visual_tokens.positions is None:
        raise vlm.ModelError(BESIDE)
    return trace.visual_tokens.positions


@asked_by_script
def lens(server: Backend, run: str, token: int) -> dict:
    """What one visual token "says": as it goes in (embedding lens), and, where it stands in the
    sequence, at every layer (logit lens, contextual lens).
    """
    opened = server.runs.open(run)
    trace, look = opened.trace, opened.look
    token = whole_number(token, "token", len(trace.visual_tokens.embeddings))
    [entering] = look.embedding_lens([token], payloads.WORDS)
    if trace.visual_tokens.positions is None:
        return payloads.lenses(entering, (), (), BESIDE)
    try:
        near, without = look.contextual_lens(token, count=payloads.PHRASES), ""
    except vlm.ModelError as error:  # no index for this model: the two others need none
        near, without = (), str(error)
    return payloads.lenses(entering, look.logit_lens(token, count=payloads.WORDS), near, without)


@asked_by_script
def lens_rows(server: Backend, run: str, first: int) -> dict:
    """What a block of visual tokens "says" at every layer: the table of the lens view, part by
    part.
    """
    look = server.runs.open(run).look
    count = len(positions(look.trace))
    first = whole_number(first, "token", count) // BLOCK * BLOCK
    table = look.lens_table(range(first, min(first + BLOCK, count)), payloads.WORDS + 1)
    return payloads.lens_rows(first, table, look.model.token_string)


@asked_by_script
def word_maps(server: Backend, run: str, word: str) -> dict:
    """Where the picture "says" a word, at every layer of the language model."""
    look = server.runs.open(run).look
    positions(look.trace)
    if not isinstance(word, str) or len(word) > MAX_TEXT:
        raise vlm.QuestionError(f"A word of at most {MAX_TEXT} characters can be looked for.")
    found, values = look.word_map(word)
    return {"word": found, "values": payloads.packed(values), "layers": len(values) - 1}


@asked_by_script
def word(server: Backend, answered: str, number: int) -> dict:
    """What one word of an answer looked at."""
    trace = server.runs.open_answer(answered).trace
    return payloads.word(trace, whole_number(number, "word", len(trace.steps)))
