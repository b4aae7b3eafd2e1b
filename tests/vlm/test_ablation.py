"""The check beside a map: what it reports is the score with and without those tokens, and chance is
as many others.
"""

import numpy as np
import pytest

import vlm
from vlm.inspect import ablation, token_changes

QUESTION = "What is in this image?"


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, vlm.Decoding(max_new_tokens=4))


def test_the_change_is_that_of_the_score(tiny_model, trace):
    ids = [step.token_id for step in trace.steps[:3]]
    result = tiny_model.inspect(trace).ablation(2, [7, 3, 7])
    assert result.tokens == (3, 7) and result.random.shape == (5,)
    expected = (
        tiny_model.score(token_changes.remove(trace, [3, 7]), ids)[-1]
        - tiny_model.score(trace, ids)[-1]
    )
    np.testing.assert_allclose(result.lit, expected, atol=1e-6)
    assert result.mean == result.random.mean() and result.spread > 0


def test_chance_takes_as_many_others(trace):
    seen = []
    ablation.check(
        lambda changed: float(seen.append(changed) or 0), trace, [0, 1, 2], draws=6, seed=3
    )
    differ = [
        np.flatnonzero(
            (each.visual_tokens.embeddings != trace.visual_tokens.embeddings).any(1)
        ).tolist()
        for each in seen
    ]
    assert differ[:2] == [[], [0, 1, 2]]
    assert all(len(tokens) == 3 and not set(tokens) & {0, 1, 2} for tokens in differ[2:])
    assert len({tuple(tokens) for tokens in differ[2:]}) > 1


def test_the_same_seed_draws_the_same(tiny_model, trace):
    first, second, other = (
        tiny_model.inspect(trace).ablation(0, [4], draws=3, seed=seed).random for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_what_mattered_lost_more_than_any_draw():
    assert ablation.AblationCheck((1,), -2.0, np.array([-0.5, -1.0])).mattered
    assert not ablation.AblationCheck((1,), -0.7, np.array([-0.5, -1.0])).mattered
    assert not ablation.AblationCheck((1,), 0.1, np.array([0.2, 0.3])).mattered  # the word gains


def test_the_lit_tokens_are_the_highest():
    assert ablation.lit(np.array([0.1, 0.9, 0.3, 0.8], np.float32), 0.5) == (1, 3)
    assert ablation.lit(np.zeros(4, np.float32), 0.01) == (0,)


def test_no_token_is_refused(trace):
    with pytest.raises(vlm.ModelError, match="No visual token is lit"):
        ablation.check(lambda changed: 0.0, trace, [])
