"""The numbers that the views show are those of the library, in a real browser on a tiny model."""

import numpy as np
import pytest

import vlm
from app.wire import packed
from tests.app.browsing import ask, expect, open_view, press_patch


@pytest.mark.always
def test_the_numbers_on_the_page_are_those_of_the_record(url, visit, picture, tiny_model):
    trace = tiny_model.encode(vlm.open_image(picture), "What is in this image?")
    attention = tiny_model.inspect(trace).encoder_attention()
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        open_view(page, "encoder")
        page.evaluate("VTE.store.set({ layer: 2, selected: [5] })")
        page.wait_for_function("VTE.store.state.rows && VTE.store.state.rows.about[1] === 2")
        state = page.evaluate(
            """() => {
              const { record, rows } = VTE.store.state, list = array => Array.from(array);
              return {
                norms: list(record.numbers.VT.norms),
                boxes: list(record.boxes),
                attention: list(rows.attention),
                cosine: list(rows.cosine),
                layers: list(record.layers.norms),
              };
            }"""
        )
        np.testing.assert_allclose(
            state["norms"], np.linalg.norm(trace.visual_tokens.embeddings, axis=1), rtol=1e-5
        )
        np.testing.assert_allclose(state["boxes"], trace.visual_tokens.boxes.ravel(), rtol=1e-5)
        np.testing.assert_allclose(
            state["layers"], np.linalg.norm(trace.patch_features, axis=2).ravel(), rtol=1e-5
        )
        prefix = trace.encoded_image.prefix_features.shape[1]
        np.testing.assert_allclose(
            state["attention"], attention.weights(2)[:, prefix + 5, prefix:].ravel(), atol=1e-6
        )
        shown = page.locator("#view-encoder .map-bar .high").nth(1).inner_text()
        assert float(shown) == pytest.approx(
            np.linalg.norm(trace.patch_features[2], axis=1).max(), rel=0.01
        )
        halves = np.float16([0, 1, -1, 1 / 3, 0.1, 6e-8, 3e-5, 6.104e-5, 65504, -2.5])
        assert (
            page.evaluate("value => Array.from(VTE.store.unpack(value))", packed(halves))
            == halves.tolist()
        )
        text = page.locator("#inspector .numbers").inner_text()
        assert (
            f"{trace.visual_tokens.embeddings[5, 0]:.2f}".replace("-0.00", "0.00").lstrip("-")
            in text
        )


def test_a_word_of_the_answer_lights_what_it_looked_at(url, visit, picture, tiny_model):
    trace = tiny_model.trace(
        vlm.open_image(picture), "What is in this image?", vlm.Decoding(max_new_tokens=32)
    )
    visual = trace.visual_tokens.positions
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.locator("#answer .token").nth(2).click()
        expect(page.locator("#answer .looked-at")).to_contain_text("was the picture")
        page.wait_for_function("VTE.store.state.overlay")
        shown = page.evaluate("Array.from(VTE.store.state.overlay.values)")
        # it came in float16
        np.testing.assert_allclose(shown, trace.steps[2].attention[:, visual].mean(0), rtol=1e-3)
        # before the word's own layers have come there is none to choose
        layers = str(len(trace.steps[2].attention))
        expect(page.locator("#answer .of")).to_have_attribute("max", layers)
        page.locator("#answer .of").fill("2")
        page.locator("#answer .relative").check()
        expect(page.locator("#received .where")).to_contain_text(
            "layer 2, less the mean of all words"
        )
        shown = page.evaluate("Array.from(VTE.store.state.overlay.values)")
        mean = np.mean([step.attention[1, visual] for step in trace.steps], axis=0)
        np.testing.assert_allclose(shown, trace.steps[2].attention[1, visual] - mean, atol=1e-5)


def test_hovering_a_word_shows_its_map_without_asking_the_server(url, visit, picture, tiny_model):
    trace = tiny_model.trace(
        vlm.open_image(picture), "What is in this image?", vlm.Decoding(max_new_tokens=32)
    )
    visual = trace.visual_tokens.positions
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.evaluate(
            "VTE.store.set({ overlay: { values: VTE.store.state.record.numbers.VT.norms, of:"
            " 'token', label: 'lengths', from: 'test' } })"
        )
        asked = []
        page.on(
            "request",
            lambda request: (
                asked.append(request.url) if "component_server" in request.url else None
            ),
        )
        for index in (3, 1):
            page.locator("#answer .token").nth(index).hover()
            looked = trace.steps[index].attention[:, visual].mean(0)
            page.wait_for_function(
                "first => Math.abs(VTE.store.state.overlay.values[0] - first) < 1e-3 * first",
                arg=float(looked[0]),
            )
            np.testing.assert_allclose(
                page.evaluate("Array.from(VTE.store.state.overlay.values)"), looked, rtol=1e-3
            )
            share = f"{100 * looked.sum():.0f}"
            assert (
                page.locator("#answer .looked-at")
                .inner_text()
                .split("%")[0]
                .split()[-1]
                .startswith(share[:1])
            )
        page.locator("#answer .text").hover()
        page.wait_for_function("VTE.store.state.overlay.from === 'test'")
        assert asked == []


def test_a_layer_asks_the_server_once(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        asked = []
        page.on(
            "request",
            lambda request: (
                asked.append(request.post_data) if "component_server" in request.url else None
            ),
        )
        open_view(page, "encoder")
        for layer in (1, 2, 1, 2, 1):
            page.evaluate("layer => VTE.store.set({ layer })", layer)
            page.wait_for_function(
                "layer => VTE.store.state.colours && VTE.store.state.colours.about[0] === layer",
                arg=layer,
            )
        assert sum('"layer"' in body for body in asked) <= 3  # 1, 2 and the one that was open


def test_the_ledger_counts_for_the_photo_and_for_any_size(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        expect(page.locator("#ledger [data-ready='150 90']")).to_be_attached(timeout=60_000)
        page.fill("#ledger-width input", "1920")
        page.fill("#ledger-height input", "1080")
        page.click("#ledger-count")
        expect(page.locator("#ledger [data-ready='1920 1080']")).to_be_attached(timeout=60_000)
        shown = {
            row.locator("td").nth(0).inner_text(): row.locator("td").nth(1).inner_text()
            for row in page.locator("#ledger tbody tr").all()
        }
        assert shown == {
            each.family: f"{each.tokens:,}" for each in vlm.count_visual_tokens(1080, 1920)
        }


def test_an_experiment_answers_again_beside_the_old_answer(url, visit, picture, tiny_model):
    trace = tiny_model.trace(
        vlm.open_image(picture), "What is in this image?", vlm.Decoding(max_new_tokens=32)
    )
    changed = vlm.token_changes.remove(trace, [5, 6])
    after = np.exp(tiny_model.score(changed, [step.token_id for step in trace.steps]))
    again = list(tiny_model.decode(changed, vlm.Decoding(max_new_tokens=32)))[-1].answer
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.click("#experiments .go")
        expect(
            page.locator("#failure-experiment").get_by_text("No token is selected")
        ).to_be_visible()
        press_patch(page, 5)
        press_patch(page, 6, modifiers=["Shift"])
        page.click("#experiments .go")
        expect(page.locator("#experiments [data-finished=true]")).to_be_attached()
        expect(page.locator("#experiments .first")).to_have_text(trace.answer)
        assert page.evaluate("document.querySelector('#experiments .second').textContent") == again
        shown = page.locator("#experiments .old .token .p").first.inner_text().split(" → ")[1]
        assert float(shown.removesuffix("\u202f%").replace("<", "")) / 100 == pytest.approx(
            after[0], abs=0.006
        )


def test_what_comes_at_once_is_taken_in_order(url, visit, picture):
    """A busy browser hands over record, answer and words together, in any order: nothing of them is
    lost.
    """
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        # or long before their record
        page.evaluate("VTE.store.receive('words', { ...VTE.store.state.words, run: 'another' })")
        page.evaluate("""() => {
            const { record, plane, answer } = VTE.store.state;
            const again = { ...record, run: 'another' };
            VTE.store.receive('answer', { ...answer, run: 'another' });
            VTE.store.receive('record', again);
            VTE.store.receive('plane', { ...plane, run: 'another' });
        }""")
        page.wait_for_function("VTE.store.state.record.run === 'another'")
        assert page.evaluate("['plane', 'answer', 'words'].every(name => VTE.store.state[name])")
        page.evaluate(
            "VTE.store.receive('words', { ...VTE.store.state.words, run: 'an earlier one' })"
        )
        page.evaluate("new Promise(resolve => requestAnimationFrame(resolve))")
        assert page.evaluate("VTE.store.state.words.run") == "another"
