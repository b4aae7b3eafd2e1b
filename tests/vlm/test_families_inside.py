"""Attention, relevancy, cuts and FastV hold for every family: one pass says what the decoder says,
and a cut of nothing changes nothing.
"""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from tests.families import FAMILIES, ON_OTHERS, tiny_family
from tests.tiny import photo
from vlm.backends import architecture
from vlm.backends.attention import replace_attention
from vlm.inspect.interventions import PATHS, Cut, Drop
from vlm.inspect.knockout import FastV, HiddenKeys, Knockout, under

SHORT = vlm.Decoding(max_new_tokens=3)


@pytest.fixture(params=[*FAMILIES, *ON_OTHERS])
def answered(request, tmp_path):
    model = vlm.load(tiny_family(tmp_path, request.param))
    return model, model.trace(photo(90, 150), "What is in this image?", SHORT)


def test_what_looks_inside_the_language_model_holds(answered):
    model, trace = answered
    said, ids = (
        [(step.token_id, step.log_probability) for step in trace.steps],
        [step.token_id for step in trace.steps],
    )
    last, positions = len(trace.steps) - 1, trace.visual_tokens.positions.tolist()

    assert all(step.beside is None for step in trace.steps)  # nothing is read beside the sequence
    looked = model.inspect(trace).answer_attention()
    for step in trace.steps:
        np.testing.assert_allclose(looked.weights(step.index).mean(1), step.attention, atol=1e-5)
    sinks = any(layer.scoring.sinks is not None for layer in looked.layers)  # which take a part
    rolled = looked.rollout(last).sum()
    assert 0 < rolled < 0.999 if sinks else rolled == pytest.approx(1, abs=1e-5)

    relevant = model.inspect(trace).relevancy(last)
    assert (
        relevant.shape == (len(trace.input_ids) + last,)
        and (relevant >= 0).all()
        and relevant[:-1].any()
    )

    swept = model.inspect(trace).sweep(last, windows=((1, 3), (2, 2)))
    np.testing.assert_allclose(swept.log_probability, trace.steps[last].log_probability, atol=1e-4)
    for row, path in enumerate(swept.paths):
        for column, window in enumerate(swept.windows):
            with replace_attention(
                Knockout([HiddenKeys.between(trace, *PATHS[path], *window)], ())
            ):
                np.testing.assert_allclose(
                    swept.change[row, column],
                    model.score(trace, ids)[-1] - swept.log_probability,
                    atol=1e-4,
                )

    for nothing in (
        Knockout([HiddenKeys.between(trace, *PATHS["picture → all after it"], 2, 1)], ()),
        FastV(positions, 1, 0.0, ()),
    ):
        assert [
            (step.token_id, step.log_probability)
            for step in under(nothing, model.decode(trace, SHORT))
        ] == said
    half = FastV(positions, 1, 0.5, ())
    assert [
        (step.token_id, step.log_probability) for step in under(half, model.decode(trace, SHORT))
    ] != said
    assert len(half.dropped) == len(positions) // 2


def test_what_a_word_looked_at_beside_the_sequence_is_what_eager_cross_attention_gives(tmp_path):
    model = vlm.load(tiny_family(tmp_path, "mllama"))
    trace, given, seen = model.trace(photo(50, 100), "What is in this image?", SHORT), [], []
    layers = [
        module for name, module in model.network.named_modules() if name.endswith("cross_attn")
    ]
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: given.append(output[1]))
        for layer in layers
    ]
    inputs = model.on_device(model.inputs(trace.encoded_image.images, trace.question))
    with attending(model):
        model.network.generate(**inputs, max_new_tokens=len(trace.steps), do_sample=False)
    for hook in hooks:
        hook.remove()
    used = inputs["aspect_ratio_mask"].flatten().bool()
    # places without a tile are left out
    assert not used.all() and len(given) == len(layers) * len(trace.steps)
    looked = model.inspect(trace).answer_attention()
    assert looked.numbers == tuple(layer.layer_idx + 1 for layer in layers)
    for step in trace.steps:
        # layers x heads x places
        mine = torch.stack(given[step.index * len(layers) : (step.index + 1) * len(layers)])[
            :, 0, :, -1
        ]
        heads = mine.unflatten(2, (len(used), -1))[:, :, used].flatten(2).detach().cpu().numpy()
        np.testing.assert_allclose(looked.weights(step.index), heads, atol=1e-6)
        seen.append(heads.mean(1))
        np.testing.assert_allclose(step.beside, seen[-1], atol=1e-6)
        np.testing.assert_allclose(step.beside.sum(1), 1, atol=1e-5)
    assert np.abs(seen[0] - seen[1]).max() > 1e-4 and trace.steps[0].attention.shape[1] == len(
        trace.input_ids
    )


@pytest.fixture
def beside(tmp_path):
    """A model that reads its picture beside the sequence, and what it answered.

    Some places hold no tile.
    """
    model = vlm.load(tiny_family(tmp_path, "mllama"))
    return model, model.trace(photo(50, 100), "What is in this image?", SHORT)


def whole_pass(model, trace, step):
    """VT + TT and the answer up to a word in one pass of transformers' explicit attention: every
    attention's weights, in order, and the word's logits.
    """
    seen, said = [], [each.token_id for each in trace.steps[:step]]
    attentions = [
        module
        for name, module in model.network.named_modules()
        if name.startswith("model.language_model") and name.endswith(("self_attn", "cross_attn"))
    ]
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: seen.append(output[1]))
        for module in attentions
    ]
    try:
        with attending(model), torch.inference_mode(False), torch.enable_grad():
            inputs = {
                name: value.clone()
                for name, value in model.on_device(
                    model.inputs(trace.encoded_image.images, trace.question)
                ).items()
            }
            longer = torch.cat(
                [
                    inputs["input_ids"],
                    torch.tensor([said], dtype=torch.long, device=model.network.device),
                ],
                1,
            )
            mask = inputs["cross_attention_mask"]
            more = {
                "input_ids": longer,
                "attention_mask": torch.ones_like(longer),
                "cross_attention_mask": torch.cat(
                    [mask, mask[:, -1:].expand(-1, len(said), -1, -1)], 1
                ),
            }
            embeds = model.network.get_input_embeddings()(longer).requires_grad_()
            more.pop("input_ids"), inputs.pop("input_ids")
            logits = model.network(**{**inputs, **more, "inputs_embeds": embeds}).logits[0, -1]
    finally:
        for hook in hooks:
            hook.remove()
    return seen, [module in architecture.crossing(model.network) for module in attentions], logits


def through(maps, crossed, scale, used):
    """The last row of the product of (1 + map) x scale.

    The picture is counted as positions that nobody changes.
    """
    length, places = (
        maps[0].shape[0],
        next(each for each, beside in zip(maps, crossed) if beside).shape[1],
    )
    product = np.eye(length + places)
    for each, cross in zip(maps, crossed):
        layer = np.eye(length + places)
        layer[:length] *= scale
        layer[:length, length:] += scale * each if cross else 0
        layer[:length, :length] += 0 if cross else scale * each
        product = layer @ product
    row, kept = product[length - 1], np.repeat(used, places // len(used))
    return np.concatenate([row[:length], row[length:][kept]])


@pytest.mark.parametrize("step", [0, 2])
def test_relevancy_and_rollout_go_into_a_picture_beside_the_sequence(beside, step):
    model, trace = beside
    weights, crossed, logits = whole_pass(model, trace, step)
    used = trace.encoded_image.inputs["aspect_ratio_mask"].flatten().bool().cpu().numpy()
    assert sum(crossed) == 2 and not used.all()
    gradients = torch.autograd.grad(logits[trace.steps[step].token_id], weights)
    relevant = [
        (each * gradient).clamp(min=0)[0].mean(0).detach().cpu().numpy()
        for each, gradient in zip(weights, gradients)
    ]
    values = model.inspect(trace).relevancy(step)
    np.testing.assert_allclose(values, through(relevant, crossed, 1, used), rtol=1e-3, atol=1e-6)
    assert values[-len(trace.visual_tokens.embeddings) :].any()
    means = [each[0].mean(0).detach().cpu().numpy() for each in weights]
    np.testing.assert_allclose(
        model.inspect(trace).answer_attention().rollout(step),
        through(means, crossed, 0.5, used),
        atol=1e-5,
    )


@contextmanager
def silenced(model, first, last):
    """Cross-attention gives nothing in these layers."""

    def silent(module, inputs, output):
        output[0][:] = 0
        return output

    hooks = [
        module.register_forward_hook(silent)
        for module in architecture.crossing(model.network)
        if first <= module.layer_idx + 1 <= last
    ]
    yield
    for hook in hooks:
        hook.remove()


def test_a_cut_from_a_picture_beside_the_sequence_is_the_model_whose_cross_attention_gives_nothing(
    beside,
):
    model, trace = beside
    for first, last in ((1, 4), (3, 4), (3, 3)):  # layers 2 and 4 read the picture
        with silenced(model, first, last):
            expected = whole_pass(model, trace, 0)[2].log_softmax(-1).detach().cpu().numpy()
        steps = list(
            under(
                model.inspect(trace).masking(
                    Cut.along("picture → all after it", range(first, last + 1))
                )(),
                model.decode(trace, SHORT),
            )
        )
        np.testing.assert_allclose(steps[0].log_probability, expected.max(), atol=1e-5)
        assert steps[0].token_id == expected.argmax()
        seen = np.array([[row.sum() for row in step.beside] for step in steps])
        np.testing.assert_allclose(
            seen, [[float(not first <= layer <= last) for layer in (2, 4)]] * len(steps), atol=1e-5
        )
    # layer 3 reads no picture
    assert [step.token_id for step in steps] == [step.token_id for step in trace.steps]


@pytest.mark.parametrize("photos", [1, 2])
def test_what_never_sees_a_picture_beside_the_sequence_does_not_change_with_it(tmp_path, photos):
    """Not even by way of the positions before its mark."""
    model = vlm.load(tiny_family(tmp_path, "mllama"))
    trace = model.trace([photo(50, 100), photo(120, 80)][:photos], "What is in this image?", SHORT)
    ids, other = [step.token_id for step in trace.steps], vlm.token_changes.rescale(trace, 3)
    scores = [
        model.inspect(each).score(ids, Cut("picture", "after", range(1, 5)))
        for each in (trace, other)
    ]
    np.testing.assert_array_equal(*scores)
    assert (model.score(trace, ids) != model.score(other, ids)).all()
    tokens = len(trace.visual_tokens.embeddings)
    assert (
        len(model.inspect(trace).relevancy(1)) == len(trace.input_ids) + 1 + tokens
        and model.inspect(trace).answer_attention().weights(1).shape[2] == tokens
    )


def test_the_sweep_of_a_picture_beside_the_sequence_is_the_score_under_each_cut(beside):
    model, trace = beside
    ids, windows = [step.token_id for step in trace.steps], ((1, 4), (2, 2), (3, 3))
    swept = model.inspect(trace).sweep(len(ids) - 1, windows)
    for row, path in enumerate(swept.paths):
        for column, window in enumerate(windows):
            with replace_attention(
                model.inspect(trace).masking(Cut.along(path, range(window[0], window[1] + 1)))()
            ):
                np.testing.assert_allclose(
                    swept.change[row, column],
                    model.score(trace, ids)[-1] - swept.log_probability,
                    atol=1e-5,
                )
    from_picture = [row for row, path in enumerate(swept.paths) if path.startswith("picture")]
    assert not swept.change[from_picture, 2].any() and swept.change[from_picture, 0].all()
    asked = swept.paths.index("question → answer")
    assert swept.change[asked, 2] and not swept.change[asked, 1]  # layer 2 reads the picture alone


def test_half_of_a_picture_beside_the_sequence_is_dropped(beside):
    model, trace = beside
    said = [(step.token_id, step.log_probability) for step in trace.steps]
    tokens = len(trace.visual_tokens.embeddings)
    looked = trace.steps[0].beside[0]
    least = set(looked.argsort()[: tokens // 2].tolist())
    for layer in (1, 2):  # layer 2 is the first that reads the picture
        half = model.inspect(trace).masking(Drop(layer))()
        steps = list(under(half, model.decode(trace, SHORT)))
        for step in steps:
            assert (step.beside[0] > 0).all() and set(
                np.flatnonzero(step.beside[1] == 0).tolist()
            ) == least
    places = architecture.places_beside(trace.language_inputs, trace.encoded_image.inputs).tolist()
    assert {places.index(place) for place in half.dropped.tolist()} == least

    def fewer(module, arguments, named):
        mask = named["attention_mask"].clone()
        mask[..., half.dropped] = torch.finfo(mask.dtype).min
        return arguments, named | {"attention_mask": mask}

    [last] = [module for module in architecture.crossing(model.network) if module.layer_idx == 3]
    hook = last.register_forward_pre_hook(fewer, with_kwargs=True)
    expected = whole_pass(model, trace, 0)[2].log_softmax(-1).detach().cpu().numpy()
    hook.remove()
    np.testing.assert_allclose(steps[0].log_probability, expected.max(), atol=1e-5)
    with silenced(model, 4, 4):
        expected = whole_pass(model, trace, 0)[2].log_softmax(-1).detach().cpu().numpy()
    step = next(under(model.inspect(trace).masking(Drop(2, 1.0))(), model.decode(trace, SHORT)))
    assert not step.beside[1].any()  # positions before the mark read on where no tile is
    assert step.token_id == expected.argmax()
    for nothing in (
        model.inspect(trace).masking(Drop(1, 0.0)),
        model.inspect(trace).masking(Drop(4, 1.0)),
        model.inspect(trace).masking(Cut.along("picture → answer", range(3, 4))),
    ):
        assert [
            (step.token_id, step.log_probability)
            for step in under(nothing(), model.decode(trace, SHORT))
        ] == said


@pytest.mark.parametrize("name", ["gemma3", "aya_vision", "cohere2_vision"])
def test_a_window_that_slides_past_the_picture_leaves_its_tokens_at_their_places(name, tmp_path):
    """Layers that have forgotten the first positions give them nothing.

    The other layers of the same model still read them.
    """
    from app.payloads.answer import seen, shares

    model = vlm.load(tiny_family(tmp_path, name))
    trace = model.trace(photo(90, 150), "What is in this image? " + "Say it again. " * 12, SHORT)
    visual, looked = trace.visual_tokens.positions, model.inspect(trace).answer_attention()
    assert visual.min() + 64 < len(trace.input_ids)  # the window is 64
    for step in trace.steps:
        np.testing.assert_allclose(looked.weights(step.index).mean(1), step.attention, atol=1e-5)
        np.testing.assert_allclose(
            seen(trace, step), looked.weights(step.index).mean(1)[:, visual], atol=1e-5
        )
        np.testing.assert_allclose(shares(trace, step).sum(0), 1, atol=1e-5)
    assert not trace.steps[-1].attention[0, visual.min()]
