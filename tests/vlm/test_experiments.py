"""Nothing changed changes nothing; what is changed is changed where it was asked, and nowhere else."""

import numpy as np
import pytest

import vlm
from tests.tiny import photo
from vlm import experiments

QUESTION = "What is in this image?"
SHORT = vlm.Decoding(max_new_tokens=6)
HOWS = ("mean", "zero", "noise", "neighbour")


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, SHORT)


def said(steps) -> list[tuple[int, float]]:
    return [(step.token_id, step.log_probability) for step in steps]


@pytest.mark.parametrize("change", [*(lambda trace, how=how: experiments.remove(trace, [], how) for how in HOWS), lambda trace: experiments.keep(trace, range(16)), lambda trace: experiments.rescale(trace, 1.0), lambda trace: experiments.paste(trace, [], trace)])
def test_a_change_of_nothing_changes_nothing_bit_for_bit(tiny_model, trace, change):
    same = change(trace)
    np.testing.assert_array_equal(same.inputs_embeds, trace.inputs_embeds)
    assert said(tiny_model.decode(same, SHORT)) == said(trace.steps)


@pytest.mark.parametrize("how", HOWS)
def test_only_the_removed_tokens_change_and_the_trace_stays_as_it_was(tiny_model, trace, how):
    before = trace.inputs_embeds.copy()
    changed = experiments.remove(trace, [3, 7], how)
    np.testing.assert_array_equal(trace.inputs_embeds, before)
    different = np.flatnonzero((changed.inputs_embeds != before).any(1))
    assert different.tolist() == trace.visual_tokens.positions[[3, 7]].tolist()
    assert said(tiny_model.decode(changed, SHORT)) != said(trace.steps)


def test_what_takes_their_place(trace):
    rows = trace.visual_tokens.embeddings
    np.testing.assert_allclose(experiments.remove(trace, [5]).visual_tokens.embeddings[5], rows.mean(0), atol=1e-6)
    assert not experiments.remove(trace, [5], "zero").visual_tokens.embeddings[5].any()
    assert experiments.remove(trace, [0, 1, 2, 3], "neighbour").visual_tokens.embeddings[:4].tolist() == rows[4:8].tolist()  # the row below
    first, second, other = (experiments.remove(trace, [5], "noise", seed).visual_tokens.embeddings[5] for seed in (1, 1, 2))
    assert (first == second).all() and (first != other).any()


def test_keeping_some_is_removing_the_others(trace):
    np.testing.assert_array_equal(experiments.keep(trace, [2, 9]).inputs_embeds, experiments.remove(trace, [i for i in range(16) if i not in (2, 9)]).inputs_embeds)


def test_shuffling_keeps_the_bag(trace):
    shuffled = experiments.shuffle(trace, seed=1).visual_tokens.embeddings
    assert (shuffled != trace.visual_tokens.embeddings).any()
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(trace.visual_tokens.embeddings, axis=0))


def test_pasted_tokens_are_the_other_photos(tiny_model, trace):
    other = tiny_model.encode(photo(60, 60, seed=4), QUESTION)
    pasted = experiments.paste(trace, [1, 2], other)
    np.testing.assert_array_equal(pasted.visual_tokens.embeddings[[1, 2]], other.visual_tokens.embeddings[[1, 2]])
    np.testing.assert_array_equal(pasted.visual_tokens.embeddings[3:], trace.visual_tokens.embeddings[3:])


@pytest.mark.parametrize(("tokens", "how"), [([16], "mean"), ([-1], "mean"), ([0], "nothing"), (range(16), "neighbour")])
def test_what_cannot_be_removed_is_named(trace, tokens, how):
    with pytest.raises(vlm.ModelError):
        experiments.remove(trace, tokens, how)


def test_the_score_of_an_answer_is_the_probability_its_words_had(tiny_model, trace):
    ids = [step.token_id for step in trace.steps]
    np.testing.assert_allclose(tiny_model.score(trace, ids), [step.log_probability for step in trace.steps], atol=1e-4)
    changed = tiny_model.score(experiments.remove(trace, range(16)), ids)
    assert np.abs(changed - tiny_model.score(trace, ids)).max() > 1e-4
