"""A visitor's experiments in a real browser on a tiny model: the numbers are the library's."""

import numpy as np
import pytest

import vlm
from tests.app.browsing import ask, expect, press_patch
from vlm.inspect.interventions import Cut, Drop, Paste

QUESTION = "What is in this image?"


def finished(page) -> str:
    """Press the button; the new answer."""
    page.evaluate(
        "document.querySelectorAll('#experiments [data-finished]').forEach(node => delete"
        " node.dataset.finished)"
    )
    page.click("#experiments .go")
    expect(page.locator("#experiments [data-finished=true]")).to_be_attached()
    return page.evaluate("document.querySelector('#experiments .second').textContent")


@pytest.fixture
def trace(picture, tiny_model):
    return tiny_model.trace(vlm.open_image(picture), QUESTION, vlm.Decoding(max_new_tokens=32))


def test_cut_and_dropped_attention_answer_again(url, visit, picture, tiny_model, trace):
    layers, long = tiny_model.language_layers, vlm.Decoding(max_new_tokens=32)
    with visit(url) as page:
        ask(page, picture, QUESTION)
        page.click("#experiments [data-kind=fastv]")
        expect(page.locator("#experiments .layer")).to_have_attribute("max", str(layers))
        page.fill("#experiments .layer", "1")
        page.fill("#experiments .share", "0.75")
        page.fill("#experiments .chosen", "cat")
        assert (
            finished(page)
            == tiny_model.inspect(trace).rerun(Drop(1, 0.75), decoding=long).trace.answer
        )
        expect(page.locator("#experiments .chosen-told")).to_contain_text("begins with “cat”")
        page.click("#experiments [data-kind=knockout]")
        assert page.locator("#experiments .way option").all_inner_texts() == list(vlm.PATHS)
        page.select_option("#experiments .way", "picture → all after it")
        assert (
            finished(page)
            == tiny_model.inspect(trace)
            .rerun(Cut.along("picture → all after it", range(1, layers + 1)), decoding=long)
            .trace.answer
        )
        page.fill("#experiments .first-layer", str(layers + 5))
        page.click("#experiments .go")
        expect(page.locator("#failure-experiment").get_by_text("The first is")).to_be_visible()


def test_the_sweep_is_drawn_for_the_word_in_focus(url, visit, picture, tiny_model, trace):
    with visit(url) as page:
        ask(page, picture, QUESTION)
        page.evaluate("VTE.store.set({ step: 1 })")
        page.click("#experiments .sweep")
        expect(page.locator("#experiments [data-swept=true]")).to_be_attached()
        expected = tiny_model.inspect(trace).sweep(1)
        assert page.locator("#experiments .heat tbody th").all_inner_texts() == list(expected.paths)
        shown = page.evaluate(
            "[...document.querySelectorAll('#experiments .heat td')].map(cell =>"
            " +cell.dataset.change)"
        )
        np.testing.assert_allclose(
            np.reshape(shown, expected.change.shape), expected.change, atol=1e-4
        )
        page.locator("#experiments .heat td").nth(1).hover()
        expect(page.locator("#experiments .cell-told")).to_contain_text(
            f"{expected.paths[0]} cut in"
        )
        expect(page.locator("#experiments .swept .high")).to_contain_text("times less probable")
        # what was found about another answer waits until that one is back
        ask(page, picture, "What is this?")
        expect(page.locator("#experiments .swept")).to_be_hidden()
        page.locator("#history .run").nth(1).click()
        expect(page.locator("#experiments .swept")).to_be_visible()


def test_tokens_of_an_earlier_photo_are_pasted(url, visit, picture, pictures, tiny_model, trace):
    with visit(url) as page:
        ask(page, pictures[2], "What is this?")
        page.click("#experiments [data-kind=paste]")
        expect(page.locator("#experiments .told")).to_contain_text("another photo first")
        page.locator("#photo").get_by_label("Clear").or_(
            page.locator("#photo").get_by_label("Remove Image")
        ).first.click()
        ask(page, picture, QUESTION)
        press_patch(page, 5)
        press_patch(page, 6, modifiers=["Shift"])
        expect(page.locator("#experiments .other option")).to_have_text(["What is this?"])
        expect(page.locator("#experiments .other-photo")).to_be_visible()
        theirs = tiny_model.encode(vlm.open_image(pictures[2]), "What is this?")
        assert (
            finished(page)
            == tiny_model.inspect(trace)
            .rerun(Paste([5, 6], theirs), decoding=vlm.Decoding(max_new_tokens=32))
            .trace.answer
        )
