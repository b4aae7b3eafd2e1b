"""A cut of nothing changes nothing, bit for bit.

A whole cut is the model that never saw those keys; nothing is left behind.
"""

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from tests.families import tiny_family
from vlm.backends import attention, text_model
from vlm.backends.attention import replace_attention
from vlm.backends.device import to_numpy
from vlm.inspect import knockout
from vlm.inspect.interventions import PATHS, Cut
from vlm.inspect.knockout import FastV, HiddenKeys, Knockout, under
from vlm.records.text_tokens import word_ids

QUESTION = "What is in this image?"
SHORT = vlm.Decoding(max_new_tokens=5)


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, SHORT)


def said(steps) -> list[tuple[int, float]]:
    return [(step.token_id, step.log_probability) for step in steps]


def nothing(trace):
    picture = tuple(trace.visual_tokens.positions.tolist())
    return {
        "no cut": Knockout([], ()),
        "no layer": Knockout(
            [HiddenKeys.between(trace, *PATHS["picture → all after it"], 2, 1)], ()
        ),
        "no key": Knockout([HiddenKeys((), (20, 21), 1, 3, 25)], ()),
        "no query": Knockout([HiddenKeys(picture, (), 1, 3)], ()),
        "nothing dropped": FastV(picture, 1, 0.0, ()),
        "dropped after the last layer": FastV(picture, 3, 1.0, ()),
    }


@pytest.mark.parametrize(
    "name",
    ["no cut", "no layer", "no key", "no query", "nothing dropped", "dropped after the last layer"],
)
def test_a_cut_of_nothing_changes_nothing_bit_for_bit(tiny_model, trace, name):
    assert said(under(nothing(trace)[name], tiny_model.decode(trace, SHORT))) == said(trace.steps)
    ids = [step.token_id for step in trace.steps]
    with replace_attention(nothing(trace)[name]):
        np.testing.assert_array_equal(
            tiny_model.score(trace, ids), vlm_score(tiny_model, trace, ids)
        )


def vlm_score(model, trace, ids):
    token = attention._replacement.set(None)
    try:
        return model.score(trace, ids)
    finally:
        attention._replacement.reset(token)


def masked_logits(model, trace, hidden):
    """The logits of the next token where a mask given to transformers' own explicit attention hides
    keys from queries.
    """
    length, where = len(trace.input_ids), model.network.device
    visible = np.tril(np.ones((length, length), bool)) & ~hidden
    window = getattr(model.network.config.get_text_config(), "sliding_window", None)
    mask, sliding = (
        torch.where(torch.from_numpy(each), 0.0, torch.finfo(torch.float32).min)[None, None]
        for each in (visible, np.triu(visible, 1 - (window or length)))
    )
    embeds = torch.from_numpy(trace.inputs_embeds)[None].to(where)
    mask = mask.to(where)
    if window:
        mask = {"full_attention": mask, "sliding_attention": sliding.to(where)}
    with attending(model), torch.inference_mode():
        states = text_model.language_trunk(model.network)(
            inputs_embeds=embeds, attention_mask=mask
        ).last_hidden_state
        logits = text_model.head(model.network, states[:, -1:])[0, -1]
    return to_numpy(logits.log_softmax(-1))


@pytest.mark.parametrize("path", list(PATHS))
def test_a_cut_through_all_layers_is_the_model_whose_mask_hides_those_keys(tiny_model, trace, path):
    parts = knockout.places(trace)
    source, target = PATHS[path]
    hidden = np.zeros((len(trace.input_ids),) * 2, bool)
    hidden[np.ix_(parts[target], parts[source])] = True
    np.fill_diagonal(hidden, False)
    expected = masked_logits(tiny_model, trace, hidden)
    [step] = under(
        Knockout([HiddenKeys.between(trace, *PATHS[path], 1, 3)], ()),
        tiny_model.decode(trace, vlm.Decoding(max_new_tokens=1)),
    )
    assert step.token_id == expected.argmax()
    np.testing.assert_allclose(step.log_probability, expected.max(), atol=1e-5)


@pytest.mark.parametrize("name", ["llava_next_gemma_2", "internvl_gpt_oss"])
def test_cuts_and_drops_are_those_of_capped_scores_and_sinks(name, tmp_path, wide_photo):
    """Of language models that transformers' fast attention cannot run."""
    model = vlm.load(tiny_family(tmp_path, name))
    trace = model.trace(wide_photo, QUESTION, SHORT)
    parts, positions = knockout.places(trace), trace.visual_tokens.positions
    for path in ("picture → answer", "picture → all after it"):
        source, target = PATHS[path]
        hidden = np.zeros((len(trace.input_ids),) * 2, bool)
        hidden[np.ix_(parts[target], parts[source])] = True
        np.fill_diagonal(hidden, False)
        expected = masked_logits(model, trace, hidden)
        [step] = under(
            Knockout([HiddenKeys.between(trace, *PATHS[path], 1, 3)], ()),
            model.decode(trace, vlm.Decoding(max_new_tokens=1)),
        )
        np.testing.assert_allclose(step.log_probability, expected.max(), atol=1e-5)
        assert abs(expected.max() - trace.steps[0].log_probability) > 1e-3
    inputs = model.on_device(model.inputs(trace.encoded_image.images, QUESTION))
    with attending(model), torch.inference_mode():
        looked = model.network(**inputs, output_attentions=True).attentions[1][0, :, -1].mean(0)
    half = FastV(positions.tolist(), 2, 0.5, ())
    list(under(half, model.decode(trace, SHORT)))
    least = to_numpy(looked)[positions].argsort()[: len(positions) // 2]
    assert set(half.dropped.tolist()) == set(positions[least].tolist())


def test_what_never_sees_the_picture_does_not_change_with_it(tiny_model, trace):
    other = vlm.token_changes.with_tokens(trace, trace.visual_tokens.embeddings[::-1].copy())

    def blind() -> Knockout:
        return Knockout([HiddenKeys.between(trace, *PATHS["picture → all after it"], 1, 3)], ())

    assert said(under(blind(), tiny_model.decode(trace, SHORT))) == said(
        under(blind(), tiny_model.decode(other, SHORT))
    )
    assert said(tiny_model.decode(trace, SHORT)) != said(tiny_model.decode(other, SHORT))


def test_the_stream_and_the_score_are_cut_alike_and_what_is_recorded_shows_it(tiny_model, trace):
    cut = HiddenKeys.between(trace, *PATHS["picture → answer"], 2, 3)
    steps = list(under(Knockout([cut], ()), tiny_model.decode(trace, SHORT)))
    with replace_attention(Knockout([cut], ())):
        scores = tiny_model.score(trace, [step.token_id for step in steps])
    np.testing.assert_allclose(scores, [step.log_probability for step in steps], atol=1e-5)
    for step in steps:
        looked = step.attention[:, trace.visual_tokens.positions].sum(1)
        assert looked[0] > 0 and (looked[1:] == 0).all()


def test_between_its_words_nothing_is_cut_and_afterwards_nothing_is_left(tiny_model, trace):
    stream = under(
        Knockout([HiddenKeys.between(trace, *PATHS["picture → all after it"], 1, 3)], ()),
        tiny_model.decode(trace, SHORT),
    )
    next(stream)
    assert attention._replacement.get() is None
    assert said(tiny_model.decode(trace, SHORT)) == said(trace.steps)


def test_the_sweep_is_the_score_under_each_cut(tiny_model, trace):
    windows = ((1, 1), (2, 3), (1, 3))
    fractions = []
    for step in (0, 3):
        ids = [each.token_id for each in trace.steps[: step + 1]]
        swept = tiny_model.inspect(trace).sweep(step, windows, progress=fractions.append)
        assert (
            swept.paths == tuple(PATHS) and swept.windows == windows and swept.token_id == ids[-1]
        )
        np.testing.assert_allclose(
            swept.log_probability, trace.steps[step].log_probability, atol=1e-5
        )
        for row, path in enumerate(swept.paths):
            for column, window in enumerate(windows):
                with replace_attention(
                    Knockout([HiddenKeys.between(trace, *PATHS[path], *window)], ())
                ):
                    expected = tiny_model.score(trace, ids)[-1] - swept.log_probability
                np.testing.assert_allclose(swept.change[row, column], expected, atol=1e-5)
    assert fractions[-1] == 1 and fractions[: len(fractions) // 2] == sorted(
        fractions[: len(fractions) // 2]
    )


def test_the_sweep_without_a_shared_prefix_says_the_same(tiny_model, trace, monkeypatch):
    shared = tiny_model.inspect(trace).sweep(2)
    monkeypatch.setattr(knockout, "_prefix_cache", lambda *arguments: None)
    np.testing.assert_allclose(tiny_model.inspect(trace).sweep(2).change, shared.change, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "width", "stride", "expected"),
    [
        (3, None, None, ((1, 1), (2, 2), (3, 3))),
        (30, 6, 12, ((1, 6), (13, 18), (25, 30))),
        (5, 4, 2, ((1, 4), (2, 5))),
    ],
)
def test_windows_reach_from_the_first_layer_to_the_last(layers, width, stride, expected):
    assert knockout.windows(layers, width, stride) == expected


@pytest.mark.parametrize(("width", "stride"), [(4, 1), (1, -1)])
def test_a_window_that_does_not_fit_is_named(width, stride):
    with pytest.raises(vlm.ModelError, match="does not fit into 3 layers"):
        knockout.windows(3, width, stride)


def test_a_path_that_is_not_there_is_named(trace):
    with pytest.raises(vlm.ModelError, match="choose one of picture → question"):
        Cut.along("answer → picture")


def test_fastv_drops_the_least_looked_at_and_is_the_cut_of_those(tiny_model, trace):
    positions = trace.visual_tokens.positions
    fast = FastV(positions.tolist(), 1, 0.5, ())
    steps = list(under(fast, tiny_model.decode(trace, SHORT)))
    looked = tiny_model.inspect(trace).answer_attention().weights(0)[0].mean(0)[positions]
    assert sorted(fast.dropped.tolist()) == sorted(positions[looked.argsort()[:8]].tolist())
    everyone = tuple(range(len(trace.input_ids)))
    same = Knockout(
        [HiddenKeys(tuple(fast.dropped.tolist()), everyone, 2, 3, len(trace.input_ids))], ()
    )
    assert said(steps) == said(under(same, tiny_model.decode(trace, SHORT)))


def test_how_probable_a_word_is_as_the_first(tiny_model, trace):
    ids = word_ids(tiny_model.processor.tokenizer, "cat")
    assert tiny_model.inspect(trace).begins("cat") == pytest.approx(
        sum(np.exp(tiny_model.score(trace, [each])[0]) for each in ids), abs=1e-6
    )
    cut = Cut("picture", "after", range(1, 4))
    assert tiny_model.inspect(trace).begins("cat", cut) != tiny_model.inspect(trace).begins("cat")
    with pytest.raises(vlm.QuestionError):
        tiny_model.inspect(trace).begins(" ")
