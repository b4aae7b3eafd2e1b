"""What the page's script asks about an earlier run: a layer, a patch, a token, a word."""

import vlm

from .. import models, payloads
from .answering import model_of, prefills, remembered, remembered_answer
from .errors import MAX_TEXT, asked_by_script, whole_number

BLOCK = 12  # visual tokens whose lens is read at a time: half of what a screen shows
BESIDE = (
    "In this model the visual tokens stand beside the sequence, read by cross-attention: they say"
    " nothing on the way through the layers."
)
hidden_by_run: models.Recent = models.Recent(heavy=True)
tables: models.Recent = models.Recent()
attentions: models.Recent = models.Recent(heavy=True)


@asked_by_script
def layer(run: str, number: int) -> dict:
    """PCA-RGB of one layer of the encoder."""
    trace = remembered(run)
    return payloads.layer(trace, whole_number(number, "layer", len(trace.patch_features)))


@asked_by_script
def rows(run: str, patch: int, number: int) -> dict:
    """All that the views tell of one patch at one layer of the encoder."""
    trace = remembered(run)
    patch, number = (
        whole_number(patch, "patch", len(trace.patches.boxes)),
        whole_number(number, "layer", len(trace.patch_features)),
    )
    if not number and len(trace.patch_features) > 1:  # what layer 1 reads: nobody has looked yet
        return payloads.rows(trace, patch, number)
    seen = run.partition("-")[0]  # the photo: another question changes nothing here
    try:
        return payloads.rows(
            trace,
            patch,
            number,
            attentions.get(seen, lambda: model_of(run).encoder_attention(trace.sight)),
        )
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


def hidden_states(run: str, trace: vlm.Trace):
    """The trace inside the language model, layer by layer."""
    return hidden_by_run.get(run, lambda: model_of(run).hidden_states(trace, prefills.known(run)))


@asked_by_script
def lens(run: str, token: int) -> dict:
    """What one visual token "says": as it goes in (embedding lens), and, where it stands in the
    sequence, at every layer (logit lens, contextual lens).
    """
    trace, model = remembered(run), model_of(run)
    token = whole_number(token, "token", len(trace.visual_tokens.embeddings))
    [entering] = model.embedding_lens(
        trace.visual_tokens.embeddings[token : token + 1], payloads.WORDS
    )
    if trace.visual_tokens.positions is None:
        return payloads.lenses(entering, (), (), BESIDE)
    position, hidden = int(trace.visual_tokens.positions[token]), hidden_states(run, trace)
    try:
        near, without = model.contextual_lens(hidden[:-1, position], payloads.PHRASES), ""
    except vlm.ModelError as error:  # no index for this model: the two others need none
        near, without = (), str(error)
    return payloads.lenses(
        entering, model.logit_lens(hidden, position, payloads.WORDS), near, without
    )


def lens_table(run: str, trace: vlm.Trace, first: int):
    """The logit lens of a block of visual tokens at every layer."""
    return tables.get(
        (run, first),
        lambda: model_of(run).lens_table(
            hidden_states(run, trace), positions(trace)[first : first + BLOCK], payloads.WORDS + 1
        ),
    )


@asked_by_script
def lens_rows(run: str, first: int) -> dict:
    """What a block of visual tokens "says" at every layer: the table of the lens view, part by
    part.
    """
    trace = remembered(run)
    first = whole_number(first, "token", len(positions(trace))) // BLOCK * BLOCK
    return payloads.lens_rows(first, lens_table(run, trace, first), model_of(run).token_string)


@asked_by_script
def word_maps(run: str, word: str) -> dict:
    """Where the picture "says" a word, at every layer of the language model."""
    import numpy as np

    trace = remembered(run)
    at, hidden = positions(trace), hidden_states(run, trace)
    if not isinstance(word, str) or len(word) > MAX_TEXT:
        raise vlm.QuestionError(f"A word of at most {MAX_TEXT} characters can be looked for.")
    starts = range(0, len(at), BLOCK)
    found = [
        model_of(run).word_maps(
            hidden, at[start : start + BLOCK], lens_table(run, trace, start), word
        )
        for start in starts
    ]
    return {
        "word": found[0][0],
        "values": payloads.packed(np.concatenate([values for _, values in found], axis=1)),
        "layers": len(hidden) - 1,
    }


@asked_by_script
def word(answered: str, number: int) -> dict:
    """What one word of an answer looked at."""
    trace, _ = remembered_answer(answered)
    return payloads.word(trace, whole_number(number, "word", len(trace.steps)))
