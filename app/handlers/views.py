"""What the page's script asks about an earlier run: a layer, a patch, a token, a word."""

from dataclasses import dataclass

import vlm

from .. import models, payloads
from .answering import model_of, prefills, remembered, remembered_answer
from .errors import MAX_TEXT, asked_by_script, whole_number

BLOCK = 12  # visual tokens whose lens is asked for at a time: half of what a screen shows
BESIDE = (
    "In this model the visual tokens stand beside the sequence, read by cross-attention: they say"
    " nothing on the way through the layers."
)
inspected: models.Recent = models.Recent(heavy=True)


@dataclass(frozen=True)
class Held:
    """Where the inspector of a run holds what it computes: with what is kept of all runs."""

    run: str

    def get(self, key, make):
        """What the key stands for; the prefill is the one that the answer began with."""
        if key.name == "prefill":
            return prefills.get(self.run, make)
        # another question about the photo changes nothing of what is the photo's
        of = self.run.partition("-")[0] if key.of_photos else self.run
        return inspected.get((of, key), make)


def inspect(run: str, trace: vlm.Trace):
    """The inspector of a run, or of an answer to it.

    Raises:
        vlm.VLMError: the model is no longer in memory.
    """
    photo, *question = str(run).split("-")
    return model_of(run).inspect(trace, held=Held("-".join([photo, *question[:1]])))


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
    try:
        return payloads.rows(trace, patch, number, inspect(run, trace).encoder_attention())
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
def lens(run: str, token: int) -> dict:
    """What one visual token "says": as it goes in (embedding lens), and, where it stands in the
    sequence, at every layer (logit lens, contextual lens).
    """
    trace = remembered(run)
    look = inspect(run, trace)
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
def lens_rows(run: str, first: int) -> dict:
    """What a block of visual tokens "says" at every layer: the table of the lens view, part by
    part.
    """
    trace = remembered(run)
    look, count = inspect(run, trace), len(positions(trace))
    first = whole_number(first, "token", count) // BLOCK * BLOCK
    table = look.lens_table(range(first, min(first + BLOCK, count)), payloads.WORDS + 1)
    return payloads.lens_rows(first, table, look.model.token_string)


@asked_by_script
def word_maps(run: str, word: str) -> dict:
    """Where the picture "says" a word, at every layer of the language model."""
    trace = remembered(run)
    positions(trace)
    if not isinstance(word, str) or len(word) > MAX_TEXT:
        raise vlm.QuestionError(f"A word of at most {MAX_TEXT} characters can be looked for.")
    found, values = inspect(run, trace).word_map(word)
    return {"word": found, "values": payloads.packed(values), "layers": len(values) - 1}


@asked_by_script
def word(answered: str, number: int) -> dict:
    """What one word of an answer looked at."""
    trace, _ = remembered_answer(answered)
    return payloads.word(trace, whole_number(number, "word", len(trace.steps)))
