"""The lens view, the findings and the comparisons in a real browser on a tiny model."""

import numpy as np
import pytest

import vlm
from tests.app.browsing import ask, expect, open_view, press_patch
from vlm.inspect import contextual_lens

QUESTION = "What is in this image?"


@pytest.fixture
def trace(picture, tiny_model):
    return tiny_model.encode(vlm.open_image(picture), QUESTION)


def test_one_token_is_read_through_three_lenses(
    url, visit, picture, trace, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path))
    index = contextual_lens.build(
        tiny_model, ["a photo of a cat", "a dog on the grass", "<b>bold</b> words"]
    )
    contextual_lens.save(index, contextual_lens.place(tiny_model))
    look = tiny_model.inspect(trace)
    said = look.logit_lens(5, count=1)
    with visit(url) as page:
        ask(page, picture, QUESTION)
        press_patch(page, 5)
        open_view(page, "lens")
        expect(page.locator("#view-lens .says tbody tr")).to_have_count(len(said))
        best = said[-1][0][0]
        # the last layer is on top
        assert (
            best.strip()
            in page.locator("#view-lens .says tbody tr").first.locator("td").first.inner_text()
        )
        expect(page.locator("#view-lens .entering li")).to_have_count(4)
        [((phrase, _, _), *_)] = look.contextual_lens(5, count=1, index=index)[1:2]
        row = page.locator("#view-lens .says tbody tr").nth(len(said) - 2)
        assert phrase in row.locator(".phrase").first.inner_text()  # text, never markup
        assert page.locator("#view-lens .says b").count() == 2  # the heads' own


def test_without_an_index_the_lens_says_how_to_make_one(url, visit, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path))
    with visit(url) as page:
        ask(page, picture, QUESTION)
        press_patch(page, 6)
        open_view(page, "lens")
        expect(page.locator("#view-lens .says thead .near")).to_contain_text("python -m vlm index")


def test_the_table_shows_every_token_and_is_linked(url, visit, picture, trace, tiny_model):
    table = tiny_model.inspect(trace).lens_table()
    with visit(url) as page:
        ask(page, picture, QUESTION)
        open_view(page, "lens")
        page.locator("#view-lens [data-part=table]").click()
        page.wait_for_function(
            "+document.querySelector('#view-lens [data-rows]').dataset.rows === 16"
        )
        cell = page.locator("#view-lens tr[data-token='3'] td[data-layer='2']")
        assert (
            cell.inner_text().strip("·\n ")
            == tiny_model.token_string(int(table.token_ids[2, 3, 0])).strip()
        )
        cell.hover()
        for number in table.token_ids[2, 3]:
            expect(page.locator("#view-lens .five")).to_contain_text(
                tiny_model.token_string(int(number)).strip()
            )
        assert page.evaluate("VTE.store.state.hovered") == 3
        cell.click()
        assert page.evaluate("VTE.store.state.selected") == [3]
        page.evaluate("VTE.store.set({ selected: [9] })")
        expect(page.locator("#view-lens tr[data-token='9'].on")).to_be_visible()
        page.locator("#view-lens .window").press("ArrowDown")
        page.wait_for_function("VTE.store.state.selected[0] === 10")


def test_a_word_is_shown_at_every_layer_with_one_request(url, visit, picture, trace, tiny_model):
    values = tiny_model.inspect(trace).word_map("dog")[1]
    with visit(url) as page:
        ask(page, picture, QUESTION)
        open_view(page, "lens")
        asked = []
        page.on(
            "request",
            lambda request: (
                asked.append(request.post_data) if "component_server" in request.url else None
            ),
        )
        page.locator("#view-lens [data-part=word]").click()
        page.fill("#view-lens .sought", "dog")
        page.press("#view-lens .sought", "Enter")
        page.wait_for_function("VTE.store.state.found && VTE.store.state.found.values")
        np.testing.assert_allclose(
            page.evaluate("Array.from(VTE.store.state.found.values)"), values.ravel(), atol=1e-6
        )
        expect(page.locator("#view-lens .every .map:not([hidden])")).to_have_count(len(values))
        for layer in (2, 1, 0):
            page.locator("#view-lens .of").evaluate(
                "(slider, layer) => { slider.value = layer; slider.dispatchEvent(new"
                " Event('input')); }",
                layer,
            )
            expect(page.locator("#view-lens .chosen figcaption")).to_contain_text(
                "going in" if not layer else f"layer {layer}"
            )
        assert sum("word_maps" in (body or "") for body in asked) == 1


def test_findings_stream_in_with_verdicts_in_words(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, QUESTION)
        page.evaluate("VTE.store.set({ selected: [5, 6] })")
        page.fill("#facts .there", "cat")
        page.locator("#facts .go").click()
        expect(page.locator("#facts [data-finished=true]")).to_be_attached(timeout=120_000)
        expect(page.locator("#facts .finding")).to_have_count(len(vlm.findings.FACTS))
        for verdict in page.locator("#facts .verdict").all_inner_texts():
            assert verdict[0] in "✓✗–" and verdict[2:] in (
                vlm.findings.SEEN,
                vlm.findings.NOT_SEEN,
                vlm.findings.CANNOT,
            )
        page.locator("#facts summary").first.click()
        expect(page.locator("#facts .finding").first).to_contain_text(
            "Counts as seen if: exactly as many"
        )
        expect(page.locator("#facts .sum")).to_contain_text("seen here")


def test_the_comparisons_are_numbers_with_a_verdict(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, QUESTION)
        page.get_by_text("Is this true?").click()
        page.locator("#check").click()
        expect(page.locator("#checks [data-finished=true]")).to_be_attached(timeout=60_000)
        expect(page.locator("#checks tbody tr")).to_have_count(6)
        expect(page.locator("#checks tbody tr").first).to_contain_text("✓ yes")
        # patches that answered to another's pixels
        for number in page.locator("#checks tbody tr").nth(4).locator("td").all_inner_texts()[1:3]:
            assert number == str(int(number))
        expect(page.locator("#checks .versions")).to_contain_text("transformers")
