"""Recorded attention is the model's own: the same weights as its slow, explicit attention, and
nothing else changes.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from tests.families import EXPLICIT, tiny_family
from tests.tiny import photo
from vlm.backends.attention import Scoring, record_attention
from vlm.backends.device import to_numpy
from vlm.inspect import self_check


@pytest.fixture(params=["clip", "siglip", "dinov2"])
def model(request, tiny_models):
    return tiny_models(request.param)


@pytest.fixture
def encoded_image(model, wide_photo):
    return model.encode_image(wide_photo)


def inside(model, encoded_image):
    """Who looks at whom in the encoder; what is asked about the photo does not matter."""
    return model.inspect(model.ask(encoded_image, "What is in this image?")).encoder_attention()


def test_the_encoders_weights_are_those_of_eager_attention(model, encoded_image):
    with attending(model), torch.inference_mode():
        explicit = model.network.model.vision_tower(
            model.on_device(encoded_image.inputs)["pixel_values"], output_attentions=True
        ).attentions
    recorded = inside(model, encoded_image)
    assert len(recorded.layers) == len(explicit)
    for layer, weights in enumerate(explicit, start=1):
        np.testing.assert_allclose(recorded.weights(layer), to_numpy(weights[0]), atol=1e-5)
        np.testing.assert_allclose(recorded.weights(layer).sum(-1), 1, atol=1e-5)


def test_the_language_models_weights_are_those_of_eager_attention(model, wide_photo):
    trace = model.encode(wide_photo, "What is in this image?")
    embeds = torch.from_numpy(trace.inputs_embeds)[None].to(model.network.device)
    with attending(model), torch.inference_mode():
        explicit = model.network(inputs_embeds=embeds, output_attentions=True).attentions
    seen = []
    with record_attention(seen.append), torch.inference_mode():
        model.network(inputs_embeds=embeds)
    assert len(seen) == len(explicit)
    for recorded, weights in zip(seen, explicit):
        torch.testing.assert_close(recorded(), weights[0], atol=1e-5, rtol=0)


def test_rollout_is_the_product_of_the_layers(model, encoded_image):
    recorded = inside(model, encoded_image)
    prefix = encoded_image.prefix_features.shape[1]
    assert recorded.positions.tolist() == list(
        range(prefix, prefix + len(encoded_image.projections))
    )
    product = np.eye(prefix + len(encoded_image.projections))
    for layer in range(1, len(encoded_image.patch_features)):
        product = (recorded.weights(layer).mean(0) + np.eye(len(product))) / 2 @ product
        for patch in (0, 7):
            np.testing.assert_allclose(
                recorded.rollout(layer, patch), product[prefix + patch, prefix:], atol=1e-5
            )


def test_a_patchs_row_is_its_row_of_the_weights(model, encoded_image):
    recorded, prefix = inside(model, encoded_image), encoded_image.prefix_features.shape[1]
    for layer in (1, 3):
        whole = recorded.weights(layer)[:, prefix + 5]
        np.testing.assert_allclose(recorded.row(layer, 5), whole[:, prefix:], atol=1e-6)
        assert recorded.elsewhere(layer, 5) == pytest.approx(
            whole[:, :prefix].sum(1).mean(), abs=1e-6
        )


def test_nobody_else_is_recorded(model):
    seen, other = [], threading.Thread(target=lambda: model.encode_image(photo(50, 60)))
    with record_attention(seen.append):
        other.start()
        other.join()
    assert seen == []


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_not_there_is_named(model, encoded_image, layer):
    with pytest.raises(vlm.ModelError, match=f"layers 1 to 3; {layer} is"):
        inside(model, encoded_image).weights(layer)


@pytest.fixture
def answered(model, wide_photo):
    return model.trace(wide_photo, "What is in this image?", vlm.Decoding(max_new_tokens=4))


def test_a_words_attention_is_the_last_row_of_eager_attention(model, answered):
    embed = model.network.get_input_embeddings()
    for step in answered.steps:
        said = torch.tensor(
            [earlier.token_id for earlier in answered.steps[: step.index]],
            dtype=torch.long,
            device=model.network.device,
        )
        with attending(model), torch.inference_mode():
            embeds = torch.cat(
                [torch.from_numpy(answered.inputs_embeds).to(said.device), embed(said)]
            )[None]
            explicit = torch.stack(
                model.network(inputs_embeds=embeds, output_attentions=True).attentions
            )[:, 0, :, -1].mean(1)
        assert step.attention.shape == (3, len(answered.input_ids) + step.index)
        np.testing.assert_allclose(step.attention, to_numpy(explicit), atol=1e-5)
        np.testing.assert_allclose(step.attention.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", EXPLICIT)
def test_capped_scores_and_sinks_are_in_every_weight_that_is_shown(name, tmp_path, wide_photo):
    """Of language models that transformers' fast attention cannot run."""
    model = vlm.load(tiny_family(tmp_path, name))
    trace = model.trace(wide_photo, "What is in this image?", vlm.Decoding(max_new_tokens=3))
    inputs = model.on_device(model.inputs(trace.encoded_image.images, trace.question))
    length = len(trace.input_ids)
    with attending(model), torch.inference_mode():
        explicit = model.network(**inputs, output_attentions=True).attentions
        said = model.network.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=3,
            output_attentions=True,
            return_dict_in_generate=True,
        )
    assert [step.token_id for step in trace.steps] == said.sequences[0, length:].tolist()
    looked, product = model.inspect(trace).answer_attention(), np.eye(length)
    for layer, weights in enumerate(explicit):
        heads = to_numpy(weights[0])
        np.testing.assert_allclose(looked.weights(0)[layer], heads[:, -1], atol=1e-6)
        product = (heads.mean(0) + np.eye(length)) / 2 @ product
        np.testing.assert_allclose(
            looked.layers[layer].mean()[:length, :length], heads.mean(0), atol=1e-6
        )
        plain = replace(looked.layers[layer].scoring, softcap=None, sinks=None)
        other = replace(looked.layers[layer], scoring=plain).row(length - 1)[:, :length]
        assert np.abs(to_numpy(other) - looked.weights(0)[layer]).max() > 1e-3
    np.testing.assert_allclose(looked.rollout(0), product[-1], atol=1e-6)
    for step, weights in zip(trace.steps, said.attentions):
        rows = [to_numpy(layer[0, :, -1].mean(0)) for layer in weights]
        for shown, row in zip(step.attention, rows):  # sliding layers have forgotten the first ones
            np.testing.assert_allclose(shown[len(shown) - len(row) :], row, atol=1e-6)
    assert self_check.eager(model, trace, trace.steps[0].attention, 1e-5).holds
    sums = looked.weights(0).sum(-1)
    assert sums.min() < 0.99 if "gpt_oss" in name else np.allclose(sums, 1, atol=1e-5)


def test_hidden_positions_leave_a_row_what_its_softmax_would_be_without_them(tmp_path, wide_photo):
    """A sink, too, takes its part of what is left."""
    model = vlm.load(tiny_family(tmp_path, "internvl_gpt_oss"))
    trace = model.trace(wide_photo, "What is in this image?", vlm.Decoding(max_new_tokens=1))
    looked, gone = model.inspect(trace).answer_attention(), [0, 3, 20]
    for layer, rows in zip(looked.layers, looked.weights(0, tuple(gone))):
        group = layer.query.shape[1] // layer.key.shape[1]
        keys = layer.key[0].repeat_interleave(group, 0)
        scores = (layer.query[0, :, -1:] @ keys.transpose(1, 2))[:, 0] * layer.scoring.scaling
        if layer.mask is not None:
            scores = scores.masked_fill(~layer.mask[0, :, -1], -torch.inf)
        scores[:, gone] = -torch.inf
        whole = torch.cat([scores, layer.scoring.sinks[:, None]], 1).softmax(1)
        np.testing.assert_allclose(rows, to_numpy(whole[:, :-1]), atol=1e-6)


def test_an_attention_of_more_than_queries_and_keys_is_declined():
    for name in ("position_bias", "indices", "block_indices"):
        with pytest.raises(vlm.ModelError, match=f"Linear.* computed with {name}, which"):
            Scoring.of(torch.nn.Linear(2, 2), {name: torch.zeros(1), "scaling": 1.0})
