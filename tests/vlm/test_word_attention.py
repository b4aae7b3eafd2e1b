"""What a word looked at is the model's own attention.

Rollout is the product of the layers; the maps without sinks are the softmax without them.
"""

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from vlm.backends.device import to_numpy
from vlm.inspect import answer_attention

QUESTION = "What is in this image?"


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, vlm.Decoding(max_new_tokens=4))


@pytest.fixture
def explicit(tiny_model, trace):
    """The weights of every layer by transformers' explicit attention: layers x heads x positions x
    positions.
    """
    said = torch.tensor(
        [step.token_id for step in trace.steps[:-1]], device=tiny_model.network.device
    )
    with attending(tiny_model), torch.inference_mode():
        embeds = torch.cat(
            [
                torch.from_numpy(trace.inputs_embeds).to(said.device),
                tiny_model.network.get_input_embeddings()(said),
            ]
        )[None]
        return to_numpy(
            torch.cat(tiny_model.network(inputs_embeds=embeds, output_attentions=True).attentions)
        )


def test_every_head_of_every_layer_is_that_of_explicit_attention(tiny_model, trace, explicit):
    looked = tiny_model.inspect(trace).answer_attention()
    assert looked.numbers == (1, 2, 3)
    for step in trace.steps:
        position = len(trace.input_ids) - 1 + step.index
        rows = looked.weights(step.index)
        np.testing.assert_allclose(rows, explicit[:, :, position, : position + 1], atol=1e-5)
        np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)


def test_the_mean_of_the_heads_is_what_the_answer_recorded(tiny_model, trace):
    looked = tiny_model.inspect(trace).answer_attention()
    for step in trace.steps:
        np.testing.assert_allclose(looked.weights(step.index).mean(1), step.attention, atol=1e-5)


def test_rollout_is_the_product_of_the_layers(tiny_model, trace, explicit):
    product = np.eye(explicit.shape[-1])
    for layer in explicit.mean(1):
        product = (layer + np.eye(len(layer))) / 2 @ product
    looked = tiny_model.inspect(trace).answer_attention()
    for step in range(len(trace.steps)):
        position = looked.position(step)
        np.testing.assert_allclose(
            looked.rollout(step), product[position, : position + 1], atol=1e-5
        )
        np.testing.assert_allclose(looked.rollout(step).sum(), 1, atol=1e-5)


def test_without_sinks_is_the_softmax_without_their_keys():
    scores = np.random.default_rng(0).normal(size=(3, 4, 9)).astype(np.float32)
    rows = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    scores[..., [0, 5]] = -np.inf
    masked = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(answer_attention.without(rows, (0, 5, 20)), masked, atol=1e-6)
    np.testing.assert_array_equal(answer_attention.without(rows, ()).argmax(-1), rows.argmax(-1))


@pytest.mark.parametrize("step", [-1, 4])
def test_a_word_that_is_not_there_is_named(tiny_model, trace, step):
    looked = tiny_model.inspect(trace).answer_attention()
    for ask in (looked.weights, looked.rollout):
        with pytest.raises(vlm.ModelError, match=f"no word {step}; it has 4"):
            ask(step)
