"""What the panels are sent is what the library recorded: every number can be found again in the record."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import vlm
from app import payloads


@pytest.fixture(scope="module")
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, "What is in this image?", vlm.Decoding(max_new_tokens=4, temperature=1.0, top_k=3))


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


def test_every_payload_is_plain_json(trace, tiny_contrast, wide_photo):
    record = tiny_contrast.similarity([wide_photo], ["a cat", "a dog"])
    projected = vlm.project(np.concatenate([trace.visual_tokens.embeddings, trace.text_tokens.embeddings]))
    for value in (
        payloads.stages(trace),
        payloads.patch_grid(trace),
        payloads.projection(trace, projected),
        payloads.answer(trace.steps, True),
        payloads.similarity(record, [wide_photo], ["a cat", "a dog"]),
    ):
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_the_stage_strip_shows_the_shapes_of_the_arrays(trace):
    shapes = {stage["symbol"]: tuple(stage["shape"]) for stage in payloads.stages(trace)["stages"]}
    assert shapes == {
        "X": (trace.image.height, trace.image.width, 3),
        "x_p": trace.patches.pixels.shape,
        "X'": trace.encoder_output.shape,
        "VT": trace.visual_tokens.embeddings.shape,
        "VT + TT": trace.inputs_embeds.shape,
        "answer": (len(trace.steps),),
    }


def test_every_visual_token_has_a_box_a_position_and_numbers(trace):
    payload = payloads.patch_grid(trace)
    count = len(trace.visual_tokens.embeddings)
    assert len(payload["boxes"]) == len(payload["positions"]) == payload["rows"] * payload["columns"] == count
    assert all(trace.roles[position] == "visual" for position in payload["positions"])
    for name, rows in {"x_p": trace.patches.pixels, "X'": trace.encoder_output, "VT": trace.visual_tokens.embeddings}.items():
        np.testing.assert_allclose(payload["vectors"][name]["first"], rows[:, : payloads.FIRST], atol=6e-4)
        np.testing.assert_allclose(payload["norms"][name], np.linalg.norm(rows, axis=1), atol=6e-3)
        assert payload["vectors"][name]["width"] == rows.shape[1]


def test_the_boxes_tile_the_part_of_the_photo_that_was_received(trace):
    payload = payloads.patch_grid(trace)
    boxes = np.array(payload["boxes"])
    top, left, bottom, right = payload["received_box"]
    assert boxes[:, :2].min(0) == pytest.approx([top, left], abs=0.01) and boxes[:, 2:].max(0) == pytest.approx([bottom, right], abs=0.01)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert areas.sum() == pytest.approx((bottom - top) * (right - left), rel=1e-3)


def test_the_pictures_are_the_photo_and_what_the_model_received(trace):
    payload = payloads.patch_grid(trace)
    assert picture(payload["photo"]).size == trace.image.size
    received = picture(payload["received"])
    assert (received.height, received.width) == trace.patches.received.shape[:2]
    assert np.abs(np.asarray(received).astype(int) - trace.patches.received).mean() < 3  # JPEG


def test_the_projection_holds_every_token_in_order(trace):
    rows = np.concatenate([trace.visual_tokens.embeddings, trace.text_tokens.embeddings])
    projected = vlm.project(rows)
    payload = payloads.projection(trace, projected)
    np.testing.assert_allclose(payload["visual"]["points"] + payload["text"]["points"], projected.points, atol=6e-5)
    assert payload["text"]["strings"] == list(trace.text_tokens.token_strings)
    assert len(payload["visual"]["colours"]) == len(trace.visual_tokens.embeddings)
    assert payload["text"]["roles"] == [role for role in trace.roles if role != "visual"]


def test_the_colour_of_a_point_is_the_mean_of_its_patch(trace):
    first = trace.patches.received[: trace.patches.size, : trace.patches.size].reshape(-1, 3).mean(0).round().astype(int)
    payload = payloads.projection(trace, vlm.project(trace.inputs_embeds))
    assert payload["visual"]["colours"][0] == f"rgb({first[0]},{first[1]},{first[2]})"


def test_the_answer_carries_probabilities_before_and_after_decoding(trace):
    payload = payloads.answer(trace.steps, True)
    assert payload["answer"] == trace.answer and payload["finished"]
    for step, shown in zip(trace.steps, payload["steps"], strict=True):
        assert shown["probability"] == pytest.approx(step.probability, abs=1e-5)
        before, after = (sum(alternative[column] for alternative in shown["alternatives"]) for column in (1, 2))
        assert before <= 1.0001 and after == pytest.approx(1, abs=1e-3)  # top_k = 3 leaves three of the alternatives
        assert sum(alternative[2] > 0 for alternative in shown["alternatives"]) == 3


def test_an_answer_without_steps_is_empty():
    assert payloads.answer((), False) == {"answer": "", "finished": False, "steps": []}
