"""What "listed" stands on: every listed checkpoint's published settings, built at tiny width of
transformers' own classes, are followed exactly.
"""

from itertools import product

import numpy as np
import pytest
import torch

import vlm
from tests.published.build import build
from tests.published.rows import ROWS
from tests.tiny import photo
from vlm.backends import architecture, generation
from vlm.backends.device import to_numpy
from vlm.inspect import self_check
from vlm.records import text_tokens
from vlm.token_budget import ledger

QUESTION = "What is in this image?"
TOKENS = 6  # of an answer
# of a kind that the ledger shows by another checkpoint's sizes
ELSEWHERE = {"ibm-granite/granite-vision-3.2-2b", "HuggingFaceTB/SmolVLM2-2.2B-Instruct"}


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


def test_the_self_check_holds(model, trace, monkeypatch):
    monkeypatch.setattr(self_check, "TOKENS", 4)
    compared = list(model.inspect(trace).self_check())
    wrong = {each.name: each.difference for each in compared if each.holds is False}
    if not architecture.encoder_layers(model.network):
        # convolutions with random weights look far: the next test but two is about them
        wrong.pop("visual tokens in their boxes", None)
    assert wrong == {}
    assert sum(each.holds is None for each in compared) <= 2  # queries have no boxes


def test_the_ledger_counts_as_many_visual_tokens_as_are_made(row, trace):
    if row.scaled:
        pytest.skip(f"the ledger knows the published size, but here {row.scaled}")
    kinds = [family for family in ledger.FAMILIES if family.kind == row.kind]
    same = [family for family in kinds if family.checkpoint == row.checkpoint]
    [family, *others] = same or kinds
    if others or row.checkpoint in ELSEWHERE:
        pytest.skip("the ledger shows this kind by a checkpoint with other sizes")
    [counted] = ledger._visual_tokens(ledger._processor(family.name), family, [row.photo])
    assert counted == len(trace.visual_tokens.kinds)


def test_what_came_with_the_checkpoint_is_known(row, model):
    if generation.generator(model.network) is not model.network:
        pytest.skip("its own `generate` reads what came with its language model instead")
    own = generation.own_settings(model.network)
    assert {**own.obeyed, **own.drawn, **own.suggested, **own.ignored} == {
        name: value
        for name, value in row.generation.items()
        if value != (generation.OBEYED | generation.SUGGESTED).get(name)
    }


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
    [*_, last] = model.inspect(trace).logit_lens(position=len(trace.input_ids) - 1)
    _, shares = zip(*last)
    np.testing.assert_allclose(shares, to_numpy(whole.topk(len(shares)).values), atol=1e-5)


def test_a_word_begins_with_a_token_of_its_own(model):
    """Not with what a tokenizer puts before a text."""
    tokenizer = model.processor.tokenizer
    token = text_tokens.first_token(tokenizer, "cat")
    assert "cat".startswith(text_tokens.token_string(tokenizer, token).strip() or "nothing")


def test_a_pixel_changes_the_patches_whose_boxes_hold_it(model, image, trace):
    """What the encoder's own convolution makes of every patch: exactly those differ, where nothing
    is resampled; elsewhere only those near it.
    """
    encoded_image = trace.encoded_image
    if encoded_image.projections is None:
        places, shares = change_of_each_box(model, image, encoded_image)
        for axis in (0, 1):  # the middle of all change moves with the box
            assert (
                np.corrcoef((shares @ places)[:, axis], middles(encoded_image)[:, axis])[0, 1] > 0.9
            )
        return
    pixels = list(
        product(
            (0, image.height // 3, image.height - 1), (0, image.width * 2 // 3, image.width - 1)
        )
    )
    painted = image.copy()
    for row, column in pixels:
        opposite = tuple(255 - value for value in image.getpixel((column, row)))
        painted.putpixel((column, row), opposite)
    seen = model.encode_image(painted, QUESTION)
    changed = (seen.projections != encoded_image.projections).any(1)
    exact = 0
    for number in range(len(encoded_image.patches.pictures)):
        mine = encoded_image.patches.places[:, 0] == number
        top, left, bottom, right = encoded_image.patches.boxes[mine][0]
        scale = max(bottom - top, right - left) / encoded_image.patches.size
        reach = 0 if scale == 1 else 2 * scale + 1  # bicubic
        near = np.array(
            [
                any(
                    box[0] - reach < row + 0.5 < box[2] + reach
                    and box[1] - reach < column + 0.5 < box[3] + reach
                    for row, column in pixels
                )
                for box in encoded_image.patches.boxes[mine]
            ]
        )
        assert not (changed[mine] & ~near).any()
        assert (changed[mine] == near).all() or scale != 1
        exact += scale == 1
    assert exact


CHOSEN = slice(0, None, 30)  # of the tokens, whose boxes are painted


def middles(encoded_image: vlm.EncodedImage) -> np.ndarray:
    """Where the boxes of the chosen tokens are: rows, columns."""
    boxes = encoded_image.visual_tokens.boxes[CHOSEN]
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def change_of_each_box(model, image, encoded_image) -> tuple[np.ndarray, np.ndarray]:
    """The places of the encoder's output, and which share of all change is where when the box of a
    chosen token is painted: some places change with everything.
    """
    changes = []
    for top, left, bottom, right in encoded_image.visual_tokens.boxes[CHOSEN].round().astype(int):
        painted = image.copy()
        painted.paste((255, 0, 255), (left, top, right, bottom))
        seen = model.encode_image(painted, QUESTION)
        changes.append(np.linalg.norm(seen.encoder_output - encoded_image.encoder_output, axis=1))
    shares = np.array(changes) / np.mean(changes, axis=0)
    return encoded_image.patches.places[:, 1:], shares / shares.sum(1, keepdims=True)
