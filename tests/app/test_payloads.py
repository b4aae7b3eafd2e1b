"""What the page receives is what the library recorded: every number can be found again in the
record.
"""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import vlm
from app import payloads
from tests.app.conftest import unpacked
from vlm.inspect import lens


@pytest.fixture(scope="module")
def trace(tiny_model, wide_photo):
    return tiny_model.trace(
        wide_photo,
        "What is in this image?",
        vlm.Decoding(max_new_tokens=4, temperature=1.0, top_k=3),
    )


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2])))


@pytest.fixture(scope="module")
def record(trace):
    return payloads.record("key", trace)


def plain(value) -> bool:
    return json.loads(json.dumps(value, allow_nan=False)) == value


def test_every_payload_is_plain_json(trace, record, tiny_model, tiny_contrast, wide_photo):
    nearest = tiny_model.inspect(trace).embedding_lens(count=3)
    assert (
        plain(record)
        and plain(payloads.layer(trace, 1))
        and plain(payloads.answer(trace.steps, True, 4, trace))
    )
    assert plain(payloads.plane("key", vlm.project(trace.inputs_embeds), "")) and plain(
        payloads.words("key", trace, nearest)
    )
    assert plain(payloads.rows(trace, 3, 2, tiny_model.inspect(trace).encoder_attention()))
    assert plain(
        payloads.matrices(
            tiny_contrast.similarity([wide_photo], ["a cat", "a dog"]), ["a cat", "a dog"]
        )
    )
    assert plain(
        payloads.cell(tiny_contrast.patch_scores(wide_photo, "a cat"), [("a", 0.1)])
    ) and plain(payloads.cell(None, []))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.linspace(-1, 1, 5),
        np.arange(4),
        np.array([0, 65_535], np.uint16),
        np.float16([0.1, -6e-8, 65_504]),
    ],
)
def test_an_array_arrives_as_it_was(array):
    np.testing.assert_allclose(
        unpacked(payloads.packed(array)), array, atol=0 if array.itemsize < 4 else 1e-6
    )


def test_the_stages_have_the_shapes_of_the_arrays(trace):
    shapes = {stage["symbol"]: tuple(stage["shape"]) for stage in payloads.stages(trace)}
    assert shapes == {
        "X": (trace.image.height, trace.image.width, 3),
        "x_p": trace.patches.pixels.shape,
        "X'": trace.encoder_output.shape,
        "VT": trace.visual_tokens.embeddings.shape,
        "VT + TT": trace.inputs_embeds.shape,
        "answer": (len(trace.steps),),
    }


def test_every_visual_token_has_a_box_a_position_and_numbers(trace, record):
    count = len(trace.visual_tokens.embeddings)
    positions = unpacked(record["positions"])
    assert (
        len(unpacked(record["boxes"]))
        == len(positions)
        == len(unpacked(record["token_cells"]))
        == count
    )
    assert all(trace.roles[position] == "visual" for position in positions)
    arrays = {
        "x_p": trace.patches.pixels,
        "projection": trace.encoded_image.projections,
        "X'": trace.encoder_output,
        "VT": trace.visual_tokens.embeddings,
    }
    for name, rows in arrays.items():
        numbers = record["numbers"][name]
        np.testing.assert_array_equal(unpacked(numbers["first"]), rows[:, : payloads.FIRST])
        np.testing.assert_allclose(
            unpacked(numbers["norms"]), np.linalg.norm(rows, axis=1), rtol=1e-5
        )
        assert numbers["shape"] == list(rows.shape)


def test_the_boxes_tile_the_part_of_the_photo_that_was_received(record):
    boxes = unpacked(record["boxes"])
    top, left, bottom, right = record["pictures"][0]["box"]
    assert boxes[:, :2].min(0) == pytest.approx([top, left], abs=0.01) and boxes[:, 2:].max(
        0
    ) == pytest.approx([bottom, right], abs=0.01)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert areas.sum() == pytest.approx((bottom - top) * (right - left), rel=1e-3)


def test_the_pictures_are_the_photo_and_what_the_model_received(trace, record):
    assert picture(record["photo"]).size == trace.image.size
    received = picture(record["received"])
    shown = trace.patches.pictures[0].received
    assert [received.height, received.width] == record["received_size"] == list(shown.shape[:2])
    assert np.abs(np.asarray(received).astype(int) - shown).mean() < 3  # JPEG


def test_the_transform_is_told_in_words(tiny_models, wide_photo):
    cropped, squashed = (
        payloads.record("key", tiny_models("clip", resize).encode(wide_photo, "What?"))["transform"]
        for resize in ("crop", "squash")
    )
    assert (
        "150 × 90 pixels was scaled to 56 × 56" in cropped
        and "40 % of it, the dark margins, was cut off" in cropped
    )
    assert "1.67 times taller" in squashed and "nothing was cut off" in squashed
    assert "4 × 4 = 16 patches of 14 × 14 pixels" in cropped


def test_lengths_and_limits_of_every_layer(trace, record):
    norms = unpacked(record["layers"]["norms"])
    np.testing.assert_allclose(norms, np.linalg.norm(trace.patch_features, axis=2), rtol=1e-5)
    np.testing.assert_allclose(
        unpacked(record["layers"]["limit"]), 3 * np.median(norms, axis=1), rtol=1e-4
    )
    assert record["layers"]["read"] == list(trace.encoded_image.output_layers)


def test_a_layers_colours_are_its_pca(trace):
    shown = payloads.layer(trace, 2)
    np.testing.assert_array_equal(
        unpacked(shown["rgb"]["rgb"]), vlm.pca_colours(trace.patch_features[2]).rgb
    )
    assert unpacked(shown["foreground"]["rgb"]).shape == (16, 3)


def test_the_plane_holds_every_token_in_order(trace, record):
    rows = np.concatenate([trace.visual_tokens.embeddings, trace.text_tokens.embeddings])
    projected = vlm.project(rows)
    np.testing.assert_array_equal(
        unpacked(payloads.plane("key", projected, "")["points"]), projected.points
    )
    assert record["text"]["strings"] == list(trace.text_tokens.token_strings)
    assert record["text"]["roles"] == [role for role in trace.roles if role != "visual"]


def test_the_prompt_is_told_before_and_after_the_photo(trace, record):
    before, count, after = record["prompt"]
    assert count == len(trace.visual_tokens.embeddings)
    assert trace.question in after and trace.question not in before
    assert before + after == "".join(trace.text_tokens.token_strings)


def test_the_colour_of_a_point_is_the_mean_of_its_patch(trace, record):
    first = (
        trace.patches.pictures[0]
        .received[: trace.patches.size, : trace.patches.size]
        .reshape(-1, 3)
        .mean(0)
        .round()
        .astype(int)
    )
    assert unpacked(record["colours"])[0].tolist() == first.tolist()


def test_neighbours_are_the_tokens_that_point_most_nearly_the_same_way(trace, tiny_model):
    rows = trace.visual_tokens.embeddings
    words = payloads.words(
        "key",
        trace,
        lens.embedding_lens(tiny_model.network, tiny_model.processor.tokenizer, rows, 3),
    )
    cosine = rows @ rows.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
    np.fill_diagonal(cosine, -2)
    assert unpacked(words["neighbours"])[:, 0].tolist() == cosine.argmax(1).tolist()
    assert len(words["words"]) == len(unpacked(words["groups"])) == len(rows)


def test_the_answer_carries_probabilities_before_and_after_decoding(trace):
    payload = payloads.answer(trace.steps, True, 4)
    assert payload["answer"] == trace.answer and payload["finished"]
    for step, shown in zip(trace.steps, payload["steps"], strict=True):
        assert shown["probability"] == pytest.approx(step.probability, abs=1e-5)
        assert 0 <= shown["entropy"] <= np.log2(400)
        before, after = (
            sum(alternative[column] for alternative in shown["alternatives"]) for column in (1, 2)
        )
        # top_k = 3 leaves three of the alternatives
        assert before <= 1.0001 and after == pytest.approx(1, abs=1e-3)
        assert sum(alternative[2] > 0 for alternative in shown["alternatives"]) == 3


def test_an_answer_without_steps_is_empty():
    assert payloads.answer((), False, 9) == {
        "key": None,
        "answer": "",
        "finished": False,
        "longest": 9,
        "stages": None,
        "steps": [],
        "looked": None,
    }


def test_the_shares_of_a_words_attention_sum_to_one(trace):
    for index, step in enumerate(trace.steps):
        told = payloads.word(trace, index)
        np.testing.assert_allclose(unpacked(told["shares"]).sum(0), 1, atol=1e-5)
        np.testing.assert_array_equal(
            unpacked(told["visual"]), step.attention[:, trace.visual_tokens.positions]
        )
    np.testing.assert_allclose(
        unpacked(told["mean"]),
        np.mean([step.attention[:, trace.visual_tokens.positions] for step in trace.steps], axis=0),
        atol=1e-6,
    )
    # only later words see earlier ones
    assert (
        unpacked(payloads.word(trace, 0)["shares"])[2].max()
        == 0
        < unpacked(told["shares"])[2].min()
    )
