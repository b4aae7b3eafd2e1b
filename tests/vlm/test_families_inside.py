"""Attention, relevancy, cuts and FastV hold for every family: one pass says what the decoder says, and a cut of nothing changes nothing."""

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from tests.families import FAMILIES, tiny_family
from tests.tiny import photo
from vlm.attention import replacing
from vlm.knockout import Cut, FastV, Knockout, under

SHORT = vlm.Decoding(max_new_tokens=3)


@pytest.fixture(params=FAMILIES)
def answered(request, tmp_path):
    model = vlm.load(tiny_family(tmp_path, request.param))
    return model, model.trace(photo(90, 150), "What is in this image?", SHORT)


def test_what_looks_inside_the_language_model_holds(answered):
    model, trace = answered
    said, ids = [(step.token_id, step.log_probability) for step in trace.steps], [step.token_id for step in trace.steps]
    last, positions = len(trace.steps) - 1, trace.visual_tokens.positions.tolist()

    assert all(step.beside is None for step in trace.steps)  # nothing is read beside the sequence
    looked = model.attention(trace)
    for step in trace.steps:
        np.testing.assert_allclose(looked.weights(step.index).mean(1), step.attention, atol=1e-5)
    np.testing.assert_allclose(looked.rollout(last).sum(), 1, atol=1e-5)

    relevant = model.relevancy(trace, last)
    assert relevant.shape == (len(trace.input_ids) + last,) and (relevant >= 0).all() and relevant[:-1].any()

    swept = model.sweep(trace, last, windows=((1, 3), (2, 2)))
    np.testing.assert_allclose(swept.log_probability, trace.steps[last].log_probability, atol=1e-4)
    for row, path in enumerate(swept.paths):
        for column, window in enumerate(swept.windows):
            with replacing(Knockout([Cut.path(trace, path, *window)])):
                np.testing.assert_allclose(swept.change[row, column], model.score(trace, ids)[-1] - swept.log_probability, atol=1e-4)

    for nothing in (Knockout([Cut.path(trace, "picture → all after it", 2, 1)]), FastV(positions, 1, 0.0)):
        assert [(step.token_id, step.log_probability) for step in under(nothing, model.decode(trace, SHORT))] == said
    half = FastV(positions, 1)
    assert [(step.token_id, step.log_probability) for step in under(half, model.decode(trace, SHORT))] != said
    assert len(half.dropped) == len(positions) // 2


def test_what_a_word_looked_at_beside_the_sequence_is_what_eager_cross_attention_gives(tmp_path):
    model = vlm.load(tiny_family(tmp_path, "mllama"))
    trace, given, seen = model.trace(photo(50, 100), "What is in this image?", SHORT), [], []
    layers = [module for name, module in model.network.named_modules() if name.endswith("cross_attn")]
    hooks = [layer.register_forward_hook(lambda module, inputs, output: given.append(output[1])) for layer in layers]
    inputs = model.on_device(model.inputs(trace.sight.images, trace.question))
    with attending(model):
        model.network.generate(**inputs, max_new_tokens=len(trace.steps), do_sample=False)
    for hook in hooks:
        hook.remove()
    used = inputs["aspect_ratio_mask"].flatten().bool()
    assert not used.all() and len(given) == len(layers) * len(trace.steps)  # places without a tile are left out
    looked = model.attention(trace)
    assert [layer.module for layer in looked.layers] == layers and looked.numbers == tuple(layer.layer_idx + 1 for layer in layers)
    for step in trace.steps:
        mine = torch.stack(given[step.index * len(layers) : (step.index + 1) * len(layers)])[:, 0, :, -1]  # layers x heads x places
        heads = mine.unflatten(2, (len(used), -1))[:, :, used].flatten(2).detach().cpu().numpy()
        np.testing.assert_allclose(looked.weights(step.index), heads, atol=1e-6)
        seen.append(heads.mean(1))
        np.testing.assert_allclose(step.beside, seen[-1], atol=1e-6)
        np.testing.assert_allclose(step.beside.sum(1), 1, atol=1e-5)
    assert np.abs(seen[0] - seen[1]).max() > 1e-4 and trace.steps[0].attention.shape[1] == len(trace.input_ids)



@pytest.mark.parametrize("name", ["gemma3", "aya_vision", "cohere2_vision"])
def test_a_window_that_slides_past_the_picture_leaves_its_tokens_at_their_places(name, tmp_path):
    """Layers that have forgotten the first positions give them nothing; the other layers of the same model still read them."""
    from app import payloads

    model = vlm.load(tiny_family(tmp_path, name))
    trace = model.trace(photo(90, 150), "What is in this image? " + "Say it again. " * 12, SHORT)
    visual, looked = trace.visual_tokens.positions, model.attention(trace)
    assert visual.min() + 64 < len(trace.input_ids)  # the window is 64
    for step in trace.steps:
        np.testing.assert_allclose(looked.weights(step.index).mean(1), step.attention, atol=1e-5)
        np.testing.assert_allclose(payloads.seen(trace, step), looked.weights(step.index).mean(1)[:, visual], atol=1e-5)
        np.testing.assert_allclose(payloads.shares(trace, step).sum(0), 1, atol=1e-5)
    assert not trace.steps[-1].attention[0, visual.min()]
