"""Recorded attention is the model's own: the same weights as its slow, explicit attention, and
nothing else changes.
"""

import threading

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from tests.tiny import photo
from vlm.attention import recording
from vlm.device import to_numpy


@pytest.fixture(params=["clip", "siglip", "dinov2"])
def model(request, tiny_models):
    return tiny_models(request.param)


@pytest.fixture
def sight(model, wide_photo):
    return model.see(wide_photo)


def test_the_encoders_weights_are_those_of_eager_attention(model, sight):
    with attending(model), torch.inference_mode():
        explicit = model.network.model.vision_tower(
            model.on_device(sight.inputs)["pixel_values"], output_attentions=True
        ).attentions
    recorded = model.encoder_attention(sight)
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
    with recording(seen.append), torch.inference_mode():
        model.network(inputs_embeds=embeds)
    assert len(seen) == len(explicit)
    for recorded, weights in zip(seen, explicit):
        torch.testing.assert_close(recorded(), weights[0], atol=1e-5, rtol=0)


def test_rollout_is_the_product_of_the_layers(model, sight):
    recorded = model.encoder_attention(sight)
    prefix = sight.prefix_features.shape[1]
    assert recorded.positions.tolist() == list(range(prefix, prefix + len(sight.projections)))
    product = np.eye(prefix + len(sight.projections))
    for layer in range(1, len(sight.patch_features)):
        product = (recorded.weights(layer).mean(0) + np.eye(len(product))) / 2 @ product
        for patch in (0, 7):
            np.testing.assert_allclose(
                recorded.rollout(layer, patch), product[prefix + patch, prefix:], atol=1e-5
            )


def test_a_patchs_row_is_its_row_of_the_weights(model, sight):
    recorded, prefix = model.encoder_attention(sight), sight.prefix_features.shape[1]
    for layer in (1, 3):
        whole = recorded.weights(layer)[:, prefix + 5]
        np.testing.assert_allclose(recorded.row(layer, 5), whole[:, prefix:], atol=1e-6)
        assert recorded.elsewhere(layer, 5) == pytest.approx(
            whole[:, :prefix].sum(1).mean(), abs=1e-6
        )


def test_nobody_else_is_recorded(model):
    seen, other = [], threading.Thread(target=lambda: model.see(photo(50, 60)))
    with recording(seen.append):
        other.start()
        other.join()
    assert seen == []


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_not_there_is_named(model, sight, layer):
    with pytest.raises(vlm.ModelError, match=f"layers 1 to 3; {layer} is"):
        model.encoder_attention(sight).weights(layer)


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
