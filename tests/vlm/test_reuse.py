"""What has not changed is not computed again, and what is reused gives the same numbers."""

import dataclasses

import numpy as np
import pytest
import torch

import vlm
from tests.tiny import photo
from vlm.backends.device import to_numpy

QUESTION = "What is in this image?"
SHORT = vlm.Decoding(max_new_tokens=6)


@pytest.fixture(params=["clip", "siglip", "dinov2"])
def model(request, tiny_models):
    return tiny_models(request.param)


def ids(steps) -> list[tuple[int, float]]:
    return [(step.token_id, step.log_probability) for step in steps]


def test_a_new_question_needs_no_new_sight(model, wide_photo):
    encoded_image = model.encode_image(wide_photo)
    for question in (QUESTION, "a dog?"):
        again, anew = model.ask(encoded_image, question), model.encode(wide_photo, question)
        assert again.encoded_image is encoded_image
        np.testing.assert_array_equal(again.inputs_embeds, anew.inputs_embeds)
        assert again.roles == anew.roles


def test_the_prompts_tokens_are_the_processors(model, wide_photo):
    trace = model.encode(wide_photo, QUESTION)
    theirs = model.processor(images=wide_photo, text=trace.prompt, return_tensors="pt")[
        "input_ids"
    ][0]
    assert trace.input_ids.tolist() == theirs.tolist()


def test_one_prefill_serves_many_answers(model, wide_photo):
    trace = model.encode(wide_photo, QUESTION)
    prefill = model.prefill(trace)
    for decoding in (SHORT, dataclasses.replace(SHORT, temperature=1.5, seed=3), SHORT):
        assert ids(model.decode(trace, decoding, prefill)) == ids(model.decode(trace, decoding))


def test_the_projection_is_the_patches_times_the_weights(model, wide_photo):
    from vlm.backends import architecture

    encoded_image = model.encode_image(wide_photo)
    weight, bias = architecture.patch_projection(model.network)
    expected = torch.from_numpy(encoded_image.patches.pixels).to(weight.device) @ weight.T + (
        0 if bias is None else bias
    )
    np.testing.assert_allclose(encoded_image.projections, to_numpy(expected), atol=1e-4)


def test_position_embeddings_do_not_depend_on_the_photo(model, wide_photo):
    first, second = model.encode_image(wide_photo), model.encode_image(photo(80, 60, seed=5))
    np.testing.assert_allclose(first.position_embeddings, second.position_embeddings, atol=1e-5)
    assert np.abs(first.position_embeddings).max() > 1e-3
