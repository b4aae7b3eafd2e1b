"""Two models on one photo and question: the second answers as it does alone, and a part of the
photo lights the tokens of both.
"""

import gradio as gr
import numpy as np
import pytest

import vlm
from tests.app.asking import QUESTION, sentence, server
from tests.app.browsing import ask, expect, press_patch, type_model
from tests.app.conftest import unpacked
from tests.families import tiny_family

pytestmark = pytest.mark.usefixtures("tiny_page")
SETTINGS = (0.0, 0, 1.0, 1.0, 0, 6)


@pytest.fixture
def second(tmp_path, monkeypatch, configure):
    """A tiny Qwen2.5-VL, open to visitors: fewer tokens, merged from patches of the photo's own
    shape.
    """
    configure(models=str(tmp_path))
    monkeypatch.setattr(server.models, "_chosen", {})
    monkeypatch.setattr(server.models, "runs_end", 0.0)
    return tiny_family(tmp_path / "second", "qwen2_5_vl")


def test_the_second_model_answers_as_it_does_alone(uploaded, second):
    first, *_, last = server.beside(uploaded, QUESTION, str(second), *SETTINGS)
    trace = vlm.load(second).trace(
        vlm.open_image(uploaded), QUESTION, vlm.Decoding(max_new_tokens=6)
    )
    assert first["model"] == str(second) and first["answer"]["steps"] == []
    # a browser that is busy draws only the last message
    assert {key: last[key] for key in first if key != "answer"} == {
        key: first[key] for key in first if key != "answer"
    }
    np.testing.assert_allclose(unpacked(first["boxes"]), trace.visual_tokens.boxes, rtol=1e-6)
    assert last["answer"]["finished"] and last["answer"]["answer"] == trace.answer
    assert [step["string"] for step in last["answer"]["steps"]] == [
        step.token_string for step in trace.steps
    ]


def test_the_second_model_is_brought_before_it_is_asked(second):
    *_, last = server.bring(str(second))
    assert [job["state"] for job in last["jobs"]] == ["ready"]
    (second / "config.json").write_text("{}")
    server.models._chosen.clear()
    with pytest.raises(gr.Error) as error:
        list(server.bring(str(second)))
    assert "does not read images and text" in sentence(error)


def test_a_second_model_that_visitors_may_not_open_is_refused(uploaded, second, configure):
    configure(models="")
    with pytest.raises(gr.Error) as error:
        next(server.beside(uploaded, QUESTION, str(second), *SETTINGS))
    assert "not open to visitors" in sentence(error)


def test_a_part_of_the_photo_lights_the_tokens_of_both(url, visit, picture, second):
    with visit(url, viewport={"width": 1440, "height": 900}) as page:
        ask(page, picture, QUESTION)
        type_model(page, "#second-model", str(second))
        page.click("#run-beside")
        expect(page.locator("#two-models .second[data-finished=true]")).to_be_attached()
        press_patch(page, 5)
        expect(page.locator("#two-models .first")).to_have_attribute("data-selected", "5")
        top, left, bottom, right = page.evaluate(
            "Array.from(VTE.store.state.record.boxes.subarray(20, 24))"
        )
        trace = vlm.load(second).encode(vlm.open_image(picture), QUESTION)
        middles = (trace.visual_tokens.boxes[:, :2] + trace.visual_tokens.boxes[:, 2:]) / 2
        inside = (
            (middles[:, 0] >= top)
            & (middles[:, 0] < bottom)
            & (middles[:, 1] >= left)
            & (middles[:, 1] < right)
        )
        lit = {
            int(token)
            for token in page.get_attribute("#two-models .second", "data-selected").split(",")
        }
        assert set(np.flatnonzero(inside)) <= lit and len(lit) < len(middles)
        canvas = page.locator("#two-models .second canvas")
        canvas.scroll_into_view_if_needed()
        size = canvas.bounding_box()
        page.mouse.move(size["x"] + 0.3 * size["width"], size["y"] + 0.1 * size["height"])
        page.mouse.down()
        page.mouse.move(size["x"] + 0.8 * size["width"], size["y"] + 0.9 * size["height"], steps=4)
        page.mouse.up()
        page.wait_for_function("VTE.store.state.selected.length > 1")
        boxes = page.evaluate(
            "VTE.store.state.selected.map(token =>"
            " Array.from(VTE.store.state.record.boxes.subarray(4 * token, 4 * token + 4)))"
        )
        assert all(box[3] > 0.2 * 150 and box[1] < 0.9 * 150 for box in boxes)
