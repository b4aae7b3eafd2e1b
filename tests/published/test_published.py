"""What "listed" stands on: every listed checkpoint's published settings, built at tiny width of
transformers' own classes, are followed exactly.
"""

import numpy as np
import pytest
import torch

import vlm
from tests.published.build import build
from tests.published.rows import ROWS
from tests.tiny import photo
from vlm import architecture, self_check
from vlm.device import to_numpy

QUESTION = "What is in this image?"
TOKENS = 6  # of an answer


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.checkpoint.split("/")[1])
def row(request):
    return request.param


@pytest.fixture(scope="module")
def model(row, tmp_path_factory):
    """A tiny model with these settings, saved and loaded again."""
    return vlm.load(build(row, tmp_path_factory.mktemp("published")))


@pytest.fixture(scope="module")
def image(row):
    """A photo that at least one picture shows without resampling."""
    return photo(*row.photo)


@pytest.fixture(scope="module")
def trace(model, image):
    return model.trace(image, QUESTION, vlm.Decoding(max_new_tokens=TOKENS))


@pytest.fixture(scope="module")
def inputs(row, model, image):
    """What transformers' own call makes of photo and question."""
    if row.chat:
        message = {
            "role": "user",
            "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}],
        }
        given = model.processor.apply_chat_template(
            [message],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    else:
        words = architecture.family(model.network).prompt.format(question=QUESTION)
        given = model.processor(images=[image], text=words, return_tensors="pt")
    return {name: value for name, value in given.items() if name != "labels"}


def test_the_model_is_given_what_transformers_own_call_gives(model, image, inputs):
    given = model.inputs([image], QUESTION)
    assert given.keys() == inputs.keys()
    for name, value in inputs.items():
        np.testing.assert_array_equal(to_numpy(given[name]), to_numpy(value), err_msg=name)


def test_the_self_check_holds(model, trace):
    compared = list(self_check.compare(model, trace))
    assert {each.name: each.difference for each in compared if each.holds is False} == {}
    assert sum(each.holds is None for each in compared) <= 3  # queries have no boxes


def test_a_greedy_answer_is_that_of_generate_with_the_checkpoints_settings(model, trace, inputs):
    given = model.on_device(inputs)
    generated = model.network.generate(**given, do_sample=False, max_new_tokens=TOKENS)[0].tolist()
    asked = inputs["input_ids"][0].tolist()
    # BLIP's gives the answer alone
    expected = generated[len(asked) :] if generated[: len(asked)] == asked else generated
    assert [step.token_id for step in trace.steps] == expected


def test_the_last_row_of_the_lens_is_the_models_own_distribution(model, trace, inputs):
    with torch.inference_mode():
        whole = model.network(**model.on_device(inputs)).logits[0, -1].float().softmax(-1)
    [*_, last] = model.logit_lens(model.hidden_states(trace), position=len(trace.input_ids) - 1)
    words, shares = zip(*last)
    np.testing.assert_allclose(shares, to_numpy(whole.topk(len(shares)).values), atol=1e-5)


def test_a_pixel_changes_the_patches_whose_boxes_hold_it(model, image, trace):
    """What the encoder's own convolution makes of every patch, or what it is given where it has
    none: exactly those differ, where nothing is resampled; elsewhere only those near it.
    """
    sight = trace.sight
    pixels = [
        (row, column)
        for row in (0, image.height // 3, image.height - 1)
        for column in (0, image.width * 2 // 3, image.width - 1)
    ]
    painted = image.copy()
    for row, column in pixels:
        painted.putpixel(
            (column, row), tuple(255 - value for value in image.getpixel((column, row)))
        )
    seen = model.see(painted, QUESTION)
    made, made_again = (
        each.patches.pixels if each.projections is None else each.projections
        for each in (sight, seen)
    )
    changed = np.abs(made_again - made).reshape(len(made), -1).max(1) > 0
    exact = 0
    for number, picture in enumerate(sight.patches.pictures):
        mine = sight.patches.places[:, 0] == number
        top, left, bottom, right = picture.box
        scale = max(
            (bottom - top) / picture.received.shape[0], (right - left) / picture.received.shape[1]
        )
        is_exact = scale == 1.0
        reach = 0 if is_exact else 2 * scale + 1  # bicubic
        near = np.array(
            [
                any(
                    box[0] - reach < row + 0.5 < box[2] + reach
                    and box[1] - reach < column + 0.5 < box[3] + reach
                    for row, column in pixels
                )
                for box in sight.patches.boxes[mine]
            ]
        )
        assert not (changed[mine] & ~near).any()
        assert (changed[mine] == near).all() or not is_exact
        exact += is_exact
    assert exact
