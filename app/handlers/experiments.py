"""Change the visual tokens of a run and let the model answer again."""

from collections.abc import Iterator

import gradio as gr

import vlm
from app import payloads
from app.handlers.answering import answers, model_of
from app.handlers.errors import shows_errors, whole_number

CHANGES = {
    "remove": lambda trace, tokens, how, factor, seed: vlm.experiments.remove(trace, tokens, how, seed),
    "keep": lambda trace, tokens, how, factor, seed: vlm.experiments.keep(trace, tokens, how, seed),
    "shuffle": lambda trace, tokens, how, factor, seed: vlm.experiments.shuffle(trace, seed),
    "rescale": lambda trace, tokens, how, factor, seed: vlm.experiments.rescale(trace, factor),
}


@shows_errors
def experiment(event: gr.EventData) -> Iterator[dict]:
    """Change the visual tokens of an answered run as the panel asked, and answer again: the old answer's words with what became of them, and the new answer as it comes."""
    asked = event._data or {}
    trace = answers.known(str(asked.get("answer")))
    if trace is None:
        raise vlm.VLMError("There is no answer to compare with; press Run first, and wait for its end.")
    kind, how, factor, seed = asked.get("kind"), asked.get("how"), asked.get("factor"), asked.get("seed")
    tokens, count = asked.get("tokens"), len(trace.visual_tokens.embeddings)
    if kind not in CHANGES:
        raise vlm.VLMError(f"There is no experiment {kind!r}; choose one of {', '.join(CHANGES)}.")
    if not isinstance(factor, (int, float)) or not 0 <= factor <= 10 or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise vlm.VLMError(f"The factor is {factor!r} and the seed {seed!r}; give a factor from 0 to 10 and a whole number as seed.")
    if not isinstance(tokens, list):
        raise vlm.VLMError("Select some tokens first.")
    tokens = [whole_number(token, "visual token", count) for token in tokens]
    if kind in ("remove", "keep") and not tokens:
        raise vlm.VLMError("No token is selected; click some patches in the picture first.")
    changed = CHANGES[kind](trace, tokens, how, factor, seed)
    model, ids = model_of(asked["answer"]), [step.token_id for step in trace.steps]
    after = model.score(changed, ids)
    steps: list[vlm.Step] = []
    # the new answer is greedy, whatever the old one was: chance must not look like an effect
    for step in model.decode(changed, vlm.Decoding(max_new_tokens=max(len(ids), 12))):
        steps.append(step)
        yield payloads.experiment(trace, after, steps, False)
    yield payloads.experiment(trace, after, steps, True)
