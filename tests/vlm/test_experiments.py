"""Nothing changed changes nothing.

What is changed is changed where it was asked, and nowhere else.
"""

import dataclasses

import numpy as np
import pytest

import vlm
from tests.tiny import photo
from vlm.inspect import token_changes
from vlm.inspect.interventions import Cut, Remove, Rescale, Shuffle

QUESTION = "What is in this image?"
SHORT = vlm.Decoding(max_new_tokens=6)
HOWS = ("mean", "zero", "noise", "neighbour")


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, SHORT)


def said(steps) -> list[tuple[int, float]]:
    return [(step.token_id, step.log_probability) for step in steps]


@pytest.mark.parametrize(
    "change",
    [
        *(lambda trace, how=how: token_changes.remove(trace, [], how) for how in HOWS),
        lambda trace: token_changes.keep(trace, range(16)),
        lambda trace: token_changes.rescale(trace, 1.0),
        lambda trace: token_changes.paste(trace, [], trace),
    ],
)
def test_a_change_of_nothing_changes_nothing_bit_for_bit(tiny_model, trace, change):
    same = change(trace)
    np.testing.assert_array_equal(same.inputs_embeds, trace.inputs_embeds)
    assert said(tiny_model.decode(same, SHORT)) == said(trace.steps)


@pytest.mark.parametrize("how", HOWS)
def test_only_the_removed_tokens_change_and_the_trace_stays_as_it_was(tiny_model, trace, how):
    before = trace.inputs_embeds.copy()
    changed = token_changes.remove(trace, [3, 7], how)
    np.testing.assert_array_equal(trace.inputs_embeds, before)
    different = np.flatnonzero((changed.inputs_embeds != before).any(1))
    assert different.tolist() == trace.visual_tokens.positions[[3, 7]].tolist()
    assert said(tiny_model.decode(changed, SHORT)) != said(trace.steps)


def test_what_takes_their_place(trace):
    rows = trace.visual_tokens.embeddings
    np.testing.assert_allclose(
        token_changes.remove(trace, [5]).visual_tokens.embeddings[5], rows.mean(0), atol=1e-6
    )
    assert not token_changes.remove(trace, [5], "zero").visual_tokens.embeddings[5].any()
    # the row below
    assert (
        token_changes.remove(trace, [0, 1, 2, 3], "neighbour").visual_tokens.embeddings[:4].tolist()
        == rows[4:8].tolist()
    )
    first, second, other = (
        token_changes.remove(trace, [5], "noise", seed).visual_tokens.embeddings[5]
        for seed in (1, 1, 2)
    )
    assert (first == second).all() and (first != other).any()


def test_keeping_some_is_removing_the_others(trace):
    np.testing.assert_array_equal(
        token_changes.keep(trace, [2, 9]).inputs_embeds,
        token_changes.remove(trace, [i for i in range(16) if i not in (2, 9)]).inputs_embeds,
    )


def test_shuffling_keeps_the_bag(trace):
    shuffled = token_changes.shuffle(trace, seed=1).visual_tokens.embeddings
    assert (shuffled != trace.visual_tokens.embeddings).any()
    np.testing.assert_array_equal(
        np.sort(shuffled, axis=0), np.sort(trace.visual_tokens.embeddings, axis=0)
    )


def test_pasted_tokens_are_the_other_photos(tiny_model, trace):
    other = tiny_model.encode(photo(60, 60, seed=4), QUESTION)
    pasted = token_changes.paste(trace, [1, 2], other)
    np.testing.assert_array_equal(
        pasted.visual_tokens.embeddings[[1, 2]], other.visual_tokens.embeddings[[1, 2]]
    )
    np.testing.assert_array_equal(
        pasted.visual_tokens.embeddings[3:], trace.visual_tokens.embeddings[3:]
    )


def test_pasting_between_grids_takes_the_nearest_centre(trace, tiny_model, checkpoints, tmp_path):
    from tests.tiny import tiny_llava

    # 8 x 8 in the same cut-out
    finer = vlm.load(tiny_llava(tmp_path, side=112)).encode(photo(90, 150, seed=4), QUESTION)
    pasted = token_changes.paste(trace, [5], finer)
    # the quarters of token 5's box are as near as each other
    near = [row * 8 + column for row in (2, 3) for column in (2, 3)]
    assert any(
        (pasted.visual_tokens.embeddings[5] == finer.visual_tokens.embeddings[token]).all()
        for token in near
    )
    np.testing.assert_array_equal(
        np.delete(pasted.visual_tokens.embeddings, 5, 0),
        np.delete(trace.visual_tokens.embeddings, 5, 0),
    )


def marked(trace):
    """The trace as if every fourth visual token were the mark at the end of a row."""
    visual, ends = trace.visual_tokens, np.arange(16) % 4 == 3
    kinds = tuple("newline" if end else "patch" for end in ends)
    return dataclasses.replace(
        trace,
        visual_tokens=dataclasses.replace(
            visual, kinds=kinds, boxes=np.where(ends[:, None], np.nan, visual.boxes)
        ),
    )


def test_marks_between_rows_stay_where_they_are(trace):
    trace = marked(trace)
    shuffled, ends = (
        token_changes.shuffle(trace, seed=2).visual_tokens.embeddings,
        np.arange(16) % 4 == 3,
    )
    np.testing.assert_array_equal(shuffled[ends], trace.visual_tokens.embeddings[ends])
    assert (shuffled[~ends] != trace.visual_tokens.embeddings[~ends]).any()


def test_a_token_without_a_place_has_its_neighbour_in_the_sequence(trace):
    trace = marked(trace)
    rows = trace.visual_tokens.embeddings
    assert token_changes.remove(trace, [7], "neighbour").visual_tokens.embeddings[7].tolist() in (
        rows[6].tolist(),
        rows[8].tolist(),
    )
    assert token_changes.remove(trace, [4], "neighbour").visual_tokens.embeddings[4].tolist() in (
        rows[0].tolist(),
        rows[8].tolist(),
        rows[5].tolist(),
    )
    assert token_changes.paste(trace, [3], trace).visual_tokens.embeddings.tolist() == rows.tolist()


def test_an_intervention_tells_what_became_of_every_word(tiny_model, trace):
    same = tiny_model.inspect(trace).rerun(decoding=SHORT)
    assert said(same.trace.steps) == said(trace.steps)
    np.testing.assert_array_equal(same.after, same.before)
    nothing = tiny_model.inspect(trace).rerun(Rescale(1.0), decoding=SHORT)
    np.testing.assert_array_equal(nothing.after, nothing.before)
    removed = token_changes.remove(trace, range(16))
    result = tiny_model.inspect(trace).rerun(Remove(range(16)), decoding=SHORT)
    np.testing.assert_array_equal(
        result.after, tiny_model.score(removed, [step.token_id for step in trace.steps])
    )
    assert (
        said(result.trace.steps) == said(tiny_model.decode(removed, SHORT)) and result.trace.answer
    )


def test_an_intervention_can_cut_attention(tiny_model, trace):
    cut = Cut("picture", "after", range(1, 4))
    result = tiny_model.inspect(trace).rerun(cut, decoding=SHORT)
    blind = tiny_model.inspect(trace).rerun(Shuffle(1), cut, decoding=SHORT)
    assert said(result.trace.steps) == said(blind.trace.steps)  # what is never read may be anything
    np.testing.assert_array_equal(result.after, blind.after)


@pytest.mark.parametrize(
    ("tokens", "how"), [([16], "mean"), ([-1], "mean"), ([0], "nothing"), (range(16), "neighbour")]
)
def test_what_cannot_be_removed_is_named(trace, tokens, how):
    with pytest.raises(vlm.ModelError):
        token_changes.remove(trace, tokens, how)


def test_the_score_of_an_answer_is_the_probability_its_words_had(tiny_model, trace):
    ids = [step.token_id for step in trace.steps]
    np.testing.assert_allclose(
        tiny_model.score(trace, ids), [step.log_probability for step in trace.steps], atol=1e-4
    )
    changed = tiny_model.score(token_changes.remove(trace, range(16)), ids)
    assert np.abs(changed - tiny_model.score(trace, ids)).max() > 1e-4
