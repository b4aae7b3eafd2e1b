"""What the page's script asks about an earlier run: a layer, a patch, a token, a word."""

import vlm
from app import models, payloads
from app.handlers.answering import answers, model_of, remembered
from app.handlers.errors import MAX_TEXT, asked_by_script, whole_number

hidden_by_run: models.Recent = models.Recent(3, heavy=True)
attentions: models.Recent = models.Recent(4, heavy=True)


@asked_by_script
def layer(run: str, number: int) -> dict:
    """PCA-RGB of one layer of the encoder."""
    trace = remembered(run)
    return payloads.layer(trace, whole_number(number, "layer", len(trace.patch_features)))


@asked_by_script
def rows(run: str, patch: int, number: int) -> dict:
    """All that the views tell of one patch at one layer of the encoder."""
    trace = remembered(run)
    patch, number = whole_number(patch, "patch", len(trace.patches.boxes)), whole_number(number, "layer", len(trace.patch_features))
    if not number and len(trace.patch_features) > 1:  # what layer 1 reads: nobody has looked yet
        return payloads.rows(trace, patch, number)
    seen = run.partition("-")[0]  # the photo: another question changes nothing here
    try:
        return payloads.rows(trace, patch, number, attentions.get(seen, lambda: model_of(run).encoder_attention(trace.sight)))
    except vlm.ModelError as error:  # an encoder without attention has everything else
        return payloads.rows(trace, patch, number, without=str(error))


def positions(trace: vlm.Trace):
    """Where the visual tokens stand in the sequence.

    Raises:
        vlm.ModelError: nowhere.
    """
    if trace.visual_tokens.positions is None:
        raise vlm.ModelError("In this model the visual tokens stand beside the sequence, read by cross-attention: they say nothing on the way through the layers.")
    return trace.visual_tokens.positions


def hidden_states(run: str, trace: vlm.Trace):
    """The trace inside the language model, layer by layer."""
    return hidden_by_run.get(run, lambda: model_of(run).hidden_states(trace))


@asked_by_script
def lens(run: str, token: int) -> dict:
    """What one visual token "says" at every layer of the language model."""
    trace = remembered(run)
    position = int(positions(trace)[whole_number(token, "token", len(trace.visual_tokens.embeddings))])
    return {"layers": model_of(run).logit_lens(hidden_states(run, trace), position, payloads.WORDS)}


@asked_by_script
def word_map(run: str, word: str, number: int) -> dict:
    """Where the picture "says" a word at one layer of the language model."""
    trace = remembered(run)
    at, hidden = positions(trace), hidden_states(run, trace)
    if not isinstance(word, str) or len(word) > MAX_TEXT:
        raise vlm.QuestionError(f"A word of at most {MAX_TEXT} characters can be looked for.")
    read, values = model_of(run).word_map(hidden, whole_number(number, "layer", len(hidden)), at, word)
    return {"word": read, "values": payloads.packed(values), "layers": len(hidden) - 1}


@asked_by_script
def word(answered: str, number: int) -> dict:
    """What one word of an answer looked at."""
    trace = answers.known(str(answered))
    if trace is None:
        raise vlm.VLMError("This answer is no longer kept on the server; press Run again.")
    return payloads.word(trace, whole_number(number, "word", len(trace.steps)))
