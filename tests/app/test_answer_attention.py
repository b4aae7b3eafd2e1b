"""What a word looked at, on the page: the numbers of the library, and the check beside the map."""

import dataclasses

import numpy as np
import pytest

import vlm
from tests.app.asking import QUESTION, run, server
from tests.app.browsing import ask, expect, open_view
from tests.app.conftest import unpacked

pytestmark = pytest.mark.usefixtures("tiny_page")


@pytest.fixture
def answered(uploaded, tiny_model):
    """The key of an answer, and the same answer by the library."""
    key = run(uploaded)[-2][2]["key"]
    return key, tiny_model.trace(vlm.open_image(uploaded), QUESTION, vlm.Decoding(max_new_tokens=6))


@pytest.mark.parametrize("layer", [0, 2])
def test_the_maps_of_a_word_are_the_librarys(answered, tiny_model, layer):
    key, trace = answered
    said, visual = server.looked([key, 2, layer]), trace.visual_tokens.positions
    attention = tiny_model.inspect(trace).answer_attention()
    rows = attention.weights(2)
    rows = rows[layer - 1] if layer else rows.mean(0)
    np.testing.assert_allclose(unpacked(said["heads"]), rows[:, visual], atol=1e-6)
    np.testing.assert_allclose(unpacked(said["mean"]), rows.mean(0)[visual], atol=1e-6)
    np.testing.assert_allclose(unpacked(said["rollout"]), attention.rollout(2)[visual], atol=1e-6)
    assert sum(said["shares"]) == pytest.approx(1, abs=1e-3)
    every = np.mean(
        [
            step.attention[layer - 1, visual] if layer else step.attention[:, visual].mean(0)
            for step in trace.steps
        ],
        axis=0,
    )
    np.testing.assert_allclose(unpacked(said["relative"]), rows.mean(0)[visual] - every, atol=1e-5)
    relevant, told = tiny_model.inspect(trace).relevancy(2), server.relevancy([key, 2])
    np.testing.assert_allclose(unpacked(told["values"]), relevant[visual], atol=1e-6)
    relevant[-1] -= 1  # the identity says nothing of where it came from
    assert told["share"] == pytest.approx(relevant[visual].sum() / relevant.sum(), abs=1e-4)


def test_without_sinks_the_rest_of_a_row_sums_to_one(answered, tiny_model):
    _, trace = answered
    attention, hidden = tiny_model.inspect(trace).answer_attention(), (0, 7)
    rows = attention.weights(1, hidden)
    assert not rows[..., list(hidden)].any()
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)


def test_no_map_without_sinks_shows_one_of_either_kind(answered, tiny_model):
    from app import payloads

    _, trace = answered
    visual, attention = trace.visual_tokens.positions, tiny_model.inspect(trace).answer_attention()
    found = tiny_model.inspect(trace).sinks()
    found = dataclasses.replace(
        found,
        found=np.ones_like(found.found),
        tokens=(2,),
        positions=(0, int(visual[2])),
        encoder_tokens=(5,),
    )
    clean = unpacked(payloads.looked(trace, attention, 1, 0, found)["clean"])
    assert clean[[2, 5]].tolist() == [0, 0] and (np.delete(clean, [2, 5]) > 0).all()
    np.testing.assert_allclose(
        clean, attention.weights(1, (0, *visual[[2, 5]].tolist())).mean((0, 1))[visual], atol=1e-6
    )


def test_the_check_is_the_librarys(answered, tiny_model):
    key, trace = answered
    said, expected = (
        server.ablation([key, 1, [3, 5]]),
        tiny_model.inspect(trace).ablation(1, [3, 5]),
    )
    assert (
        said["lit"] == pytest.approx(expected.lit, abs=1e-5)
        and said["mattered"] == expected.mattered
        and said["count"] == 2
    )
    assert said["random"] == pytest.approx(expected.random.tolist(), abs=1e-3)


@pytest.mark.parametrize(
    ("handler", "asked", "words"),
    [
        (server.looked, ["nothing", 0, 0], "no longer kept"),
        (server.looked, [None, 99, 0], "no word 99"),
        (server.looked, [None, 0, 99], "no layer 99"),
        (server.ablation, [None, 0, []], "nothing to check"),
        (server.ablation, [None, 0, [999]], "no visual token 999"),
        (server.relevancy, [None, -1], "no word -1"),
    ],
)
def test_what_cannot_be_asked_gets_a_sentence(answered, handler, asked, words):
    key, _ = answered
    assert words in handler([key if part is None else part for part in asked])["error"]


def test_the_view_shows_the_maps_and_the_check(url, visit, picture, tiny_model):
    with visit(url, viewport={"width": 1440, "height": 900}) as page:
        ask(page, picture, QUESTION)
        open_view(page, "looked")
        expect(page.locator("#view-looked [data-word='0']")).to_be_attached()
        expect(page.locator("#view-looked .main .map:visible")).to_have_count(5)
        expect(page.locator("#view-looked .heads .map:visible")).to_have_count(4)
        page.select_option("#view-looked .of-word", "2")
        expect(page.locator("#view-looked [data-word='2']")).to_be_attached()
        assert page.evaluate("VTE.store.state.step") == 2
        page.select_option("#view-looked .over", "rollout")
        page.wait_for_function(
            "VTE.store.state.overlay && VTE.store.state.overlay.from === 'looked'"
        )
        trace = tiny_model.trace(vlm.open_image(picture), QUESTION, vlm.Decoding(max_new_tokens=32))
        shown = page.evaluate("Array.from(VTE.store.state.overlay.values)")
        np.testing.assert_allclose(
            shown,
            tiny_model.inspect(trace).answer_attention().rollout(2)[trace.visual_tokens.positions],
            atol=1e-5,
        )
        page.click("#view-looked .check")
        expect(page.locator("#view-looked .verdict")).to_contain_text("drawn by chance")
