"""What the page's script asks about an earlier run: a layer, a patch, a token, a word."""

import numpy as np

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
    looked_into = server.runs.open(run)
    trace = looked_into.trace
    patch, number = (
        whole_number(patch, "patch", len(trace.patches.boxes)),
        whole_number(number, "layer", len(trace.patch_features)),
    )
    if not number and len(trace.patch_features) > 1:  # what layer 1 reads: nobody has looked yet
        return payloads.rows(trace, patch, number)
    try:
        return payloads.rows(trace, patch, number, looked_into.encoder_attention())
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
    looked_into = server.runs.open(run)
    trace, model = looked_into.trace, looked_into.model
    token = whole_number(token, "token", len(trace.visual_tokens.embeddings))
    [entering] = model.embedding_lens(
        trace.visual_tokens.embeddings[token : token + 1], payloads.WORDS
    )
    if trace.visual_tokens.positions is None:
        return payloads.lenses(entering, (), (), BESIDE)
    position, hidden = int(trace.visual_tokens.positions[token]), looked_into.hidden_states()
    try:
        near, without = model.contextual_lens(hidden[:-1, position], payloads.PHRASES), ""
    except vlm.ModelError as error:  # no index for this model: the two others need none
        near, without = (), str(error)
    return payloads.lenses(
        entering, model.logit_lens(hidden, position, payloads.WORDS), near, without
    )


@asked_by_script
def lens_rows(server: Backend, run: str, first: int) -> dict:
    """What a block of visual tokens "says" at every layer: the table of the lens view, part by
    part.
    """
    looked_into = server.runs.open(run)
    at = positions(looked_into.trace)
    first = whole_number(first, "token", len(at)) // BLOCK * BLOCK
    table = looked_into.lens_table(at, first)
    return payloads.lens_rows(first, table, looked_into.model.token_string)


@asked_by_script
def word_maps(server: Backend, run: str, word: str) -> dict:
    """Where the picture "says" a word, at every layer of the language model."""
    looked_into = server.runs.open(run)
    at, hidden = positions(looked_into.trace), looked_into.hidden_states()
    if not isinstance(word, str) or len(word) > MAX_TEXT:
        raise vlm.QuestionError(f"A word of at most {MAX_TEXT} characters can be looked for.")
    starts = range(0, len(at), BLOCK)
    found = [
        looked_into.model.word_maps(
            hidden, at[start : start + BLOCK], looked_into.lens_table(at, start), word
        )
        for start in starts
    ]
    return {
        "word": found[0][0],
        "values": payloads.packed(np.concatenate([values for _, values in found], axis=1)),
        "layers": len(hidden) - 1,
    }


@asked_by_script
def word(server: Backend, answered: str, number: int) -> dict:
    """What one word of an answer looked at."""
    trace = server.runs.open_answer(answered).trace
    return payloads.word(trace, whole_number(number, "word", len(trace.steps)))
