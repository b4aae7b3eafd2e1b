"""The page in a real browser: on tiny models for its mechanics, and once with the embedded model as `python app.py` serves it."""

import dataclasses
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

import vlm
from app import models
from tests.tiny import photo

expect = pytest.importorskip("playwright.sync_api").expect

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "assets" / "examples" / "chelsea.jpg"
NASTY = "<img src=x onerror=window.broken=1> ${window.broken=2} {{value}}"


@pytest.fixture
def picture(tmp_path):
    """A photo that is not square, on the visitor's machine."""
    path = tmp_path / "wide.png"
    photo(90, 150).save(path)
    return path


def ask(page, path, question: str) -> None:
    """Upload, type, press Enter; wait for the end of the answer and for what comes after it."""
    page.set_input_files("#photo input[type=file]", path)
    expect(page.locator("#photo img").first).to_be_visible()
    page.fill("#question textarea", question)
    page.press("#question textarea", "Enter")
    expect(page.locator("#answer [data-finished=true]")).to_be_attached()
    page.wait_for_function("question => { const { record, words } = VTE.store.state; return record && record.question === question && words; }", arg=question.strip())


def open_view(page, name: str, beside: bool = False) -> None:
    page.locator(f"#view-tabs [data-view={name}]").click(modifiers=["Shift"] if beside else [])
    expect(page.locator(f"#view-{name}")).to_be_visible()
    expect(page.locator(f"#view-{name} [data-drawn]")).to_be_attached()


def place(page, token: int, selector: str = "#received .overlay") -> dict:
    """The middle of a token's patch in a picture of the whole grid, within the element."""
    rows, columns = page.evaluate("[VTE.store.state.record.rows, VTE.store.state.record.columns]")
    box = page.locator(selector).bounding_box()
    return {"x": (token % columns + 0.5) * box["width"] / columns, "y": (token // columns + 0.5) * box["height"] / rows}


def press_patch(page, token: int, selector: str = "#received .overlay", **options) -> None:
    page.locator(selector).scroll_into_view_if_needed()
    page.locator(selector).click(position=place(page, token, selector), **options)


def expect_selected(page, *tokens: int) -> None:
    """Every view that is in sight shows this selection."""
    text = ",".join(map(str, tokens))
    expect(page.locator("html")).to_have_attribute("data-selected", text)
    expect(page.locator("#received [data-selected]")).to_have_attribute("data-selected", text)
    assert page.evaluate("VTE.store.state.selected") == list(tokens)
    for name in page.evaluate("VTE.store.state.open"):
        for index in range(page.locator(f"#view-{name} .map:not([hidden]) .map-marks").count()):
            expect(page.locator(f"#view-{name} .map:not([hidden]) .map-marks").nth(index).locator(".mark:not(.hover)")).to_have_count(len(tokens))


def point_of(page, token: int) -> tuple[float, float]:
    """Where a token's dot is in the window, by Plotly's own axes."""
    page.locator("#view-space .plot").scroll_into_view_if_needed()
    return page.evaluate(
        """token => { const plot = document.querySelector('#view-space .plot'), { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect(), { points } = VTE.store.state.plane;
        return [box.left + xaxis._offset + xaxis.d2p(points[2 * token]), box.top + yaxis._offset + yaxis.d2p(points[2 * token + 1])]; }""",
        token,
    )


def freest(page) -> int:
    """The visual token whose dot has no other near it."""
    return page.evaluate(
        """() => { const { points } = VTE.store.state.plane, count = VTE.store.state.record.positions.length, all = points.length / 2;
        const distance = i => Math.min(...Array.from({ length: all }, (_, j) => i === j ? 1e9 : Math.hypot(points[2 * i] - points[2 * j], points[2 * i + 1] - points[2 * j + 1])));
        return Array.from({ length: count }, (_, i) => i).reduce((best, i) => (distance(i) > distance(best) ? i : best), 0); }"""
    )


def by_photo(page) -> int:
    press_patch(page, 6)
    return 6


def by_map(page) -> int:
    open_view(page, "connector")
    press_patch(page, 9, "#view-connector .map-frame >> nth=1")
    return 9


def by_dot(page) -> int:
    open_view(page, "space")
    token = freest(page)
    x, y = point_of(page, token)
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y)
    page.wait_for_function("token => VTE.store.state.hovered === token", arg=token)
    page.mouse.down()
    page.mouse.up()
    return token


def by_sequence(page) -> int:
    open_view(page, "sequence")
    page.locator("#view-sequence .tokens").click(position={"x": 13 * 3 + 5, "y": 5})
    return 3


def by_keyboard(page) -> int:
    press_patch(page, 5)
    page.focus("#received .overlay")
    page.keyboard.press("ArrowDown")
    return 9


@pytest.mark.parametrize("way", [by_photo, by_map, by_dot, by_sequence, by_keyboard])
def test_a_token_selected_anywhere_is_lit_in_every_view(url, visit, picture, way):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        token = way(page)
        page.mouse.move(2, 2)
        expect_selected(page, token)
        expect(page.locator("#inspector [data-token]")).to_have_attribute("data-token", str(token))
        for name in ("photo", "patches", "positions", "encoder", "connector", "space", "sequence", "lens"):
            open_view(page, name)
            expect_selected(page, token)
        expect(page.locator("#view-space [data-selected]")).to_have_attribute("data-selected", str(token))


def test_shift_adds_a_box_selects_and_escape_clears(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        press_patch(page, 6)
        press_patch(page, 12, modifiers=["Shift"])
        expect_selected(page, 6, 12)
        overlay = page.locator("#received .overlay").bounding_box()
        page.mouse.move(overlay["x"] + 2, overlay["y"] + 2)
        page.mouse.down()
        page.mouse.move(overlay["x"] + overlay["width"] * 0.48, overlay["y"] + overlay["height"] * 0.48, steps=4)
        page.mouse.up()
        expect_selected(page, 0, 1, 4, 5)
        page.focus("#received .overlay")
        page.keyboard.press("Escape")
        expect_selected(page)


def test_a_hovered_word_is_told_in_the_sequence_and_a_hovered_patch_in_the_inspector(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        open_view(page, "sequence")
        page.locator("#view-sequence .word.question").first.hover()
        expect(page.locator("#view-sequence .told")).to_contain_text("part of the question")
        page.locator("#received .overlay").hover(position=place(page, 7))
        expect(page.locator("#inspector [data-token]")).to_have_attribute("data-token", "7")
        expect(page.locator("#received .where")).to_contain_text("patch 7 · row 1, column 3")


def test_the_numbers_on_the_page_are_those_of_the_record(url, visit, picture, tiny_model):
    trace = tiny_model.encode(vlm.open_image(picture), "What is in this image?")
    attention = tiny_model.encoder_attention(trace.sight)
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        open_view(page, "encoder")
        page.evaluate("VTE.store.set({ layer: 2, selected: [5] })")
        page.wait_for_function("VTE.store.state.rows && VTE.store.state.rows.about[1] === 2")
        state = page.evaluate(
            """() => { const { record, rows } = VTE.store.state, list = array => Array.from(array);
            return { norms: list(record.numbers.VT.norms), boxes: list(record.boxes), attention: list(rows.attention), cosine: list(rows.cosine), layers: list(record.layers.norms) }; }"""
        )
        np.testing.assert_allclose(state["norms"], np.linalg.norm(trace.visual_tokens.embeddings, axis=1), rtol=1e-5)
        np.testing.assert_allclose(state["boxes"], trace.visual_tokens.boxes.ravel(), rtol=1e-5)
        np.testing.assert_allclose(state["layers"], np.linalg.norm(trace.patch_features, axis=2).ravel(), rtol=1e-5)
        np.testing.assert_allclose(state["attention"], attention.weights(2)[:, attention.prefix + 5, attention.prefix :].ravel(), atol=1e-6)
        shown = page.locator("#view-encoder .map-bar .high").nth(1).inner_text()
        assert float(shown) == pytest.approx(np.linalg.norm(trace.patch_features[2], axis=1).max(), rel=0.01)
        text = page.locator("#inspector .numbers").inner_text()
        assert f"{trace.visual_tokens.embeddings[5, 0]:.2f}".replace("-0.00", "0.00").lstrip("-") in text


def test_a_word_of_the_answer_lights_what_it_looked_at(url, visit, picture, tiny_model):
    trace = tiny_model.trace(vlm.open_image(picture), "What is in this image?", vlm.Decoding(max_new_tokens=32))
    visual = trace.visual_tokens.positions
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.locator("#answer .token").nth(2).click()
        expect(page.locator("#answer .looked-at")).to_contain_text("was the picture")
        page.locator("#answer .look").check()
        page.wait_for_function("VTE.store.state.overlay")
        shown = page.evaluate("Array.from(VTE.store.state.overlay.values)")
        np.testing.assert_allclose(shown, trace.steps[2].attention[:, visual].mean(0), atol=1e-5)
        page.locator("#answer .of").fill("2")
        page.locator("#answer .relative").check()
        shown = page.evaluate("Array.from(VTE.store.state.overlay.values)")
        mean = np.mean([step.attention[1, visual] for step in trace.steps], axis=0)
        np.testing.assert_allclose(shown, trace.steps[2].attention[1, visual] - mean, atol=1e-5)
        expect(page.locator("#received .where")).to_contain_text("layer 2, less the mean of all words")


def test_the_lens_tells_what_a_token_says_and_where_a_word_is_said(url, visit, picture, tiny_model):
    trace = tiny_model.encode(vlm.open_image(picture), "What is in this image?")
    hidden = tiny_model.hidden_states(trace)
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        press_patch(page, 5)
        open_view(page, "lens")
        expect(page.locator("#view-lens tbody tr")).to_have_count(len(hidden))
        best = tiny_model.logit_lens(hidden, int(trace.visual_tokens.positions[5]), 1)[-1][0][0]
        shown = page.evaluate("document.querySelector('#view-lens tbody tr td:nth-child(2)').textContent")
        assert best.strip() in shown  # the last layer is on top
        page.fill("#view-lens .sought", "dog")
        page.press("#view-lens .sought", "Enter")
        page.wait_for_function("VTE.store.state.found && VTE.store.state.found.values")
        layer = page.evaluate("VTE.store.state.sought.layer")
        values = page.evaluate("Array.from(VTE.store.state.found.values)")
        np.testing.assert_allclose(values, tiny_model.word_map(hidden, layer, trace.visual_tokens.positions, "dog")[1], atol=1e-6)


def test_an_earlier_run_comes_back_at_once(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        first = page.inner_text("#answer .tokens")
        ask(page, picture, "Where is the dog?")
        expect(page.locator("#history .run")).to_have_count(2)
        page.locator("#history .run").nth(1).click()
        expect(page.locator("#answer .prompt")).to_contain_text("What is in this image?")
        assert page.inner_text("#answer .tokens") == first


def test_a_layer_asks_the_server_once(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        asked = []
        page.on("request", lambda request: asked.append(request.post_data) if "component_server" in request.url else None)
        open_view(page, "encoder")
        for layer in (1, 2, 1, 2, 1):
            page.evaluate("layer => VTE.store.set({ layer })", layer)
            page.wait_for_function("layer => VTE.store.state.colours && VTE.store.state.colours.about[0] === layer", arg=layer)
        assert sum('"layer"' in body for body in asked) <= 3  # 1, 2 and the one that was open


def test_the_plot_can_be_turned_in_space(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.get_by_text("Token space: projection").click()
        page.locator("#dimensions").get_by_text("space").click()
        expect(page.locator("#view-space .dots.turning")).to_be_attached()
        expect(page.locator("#view-space .caption")).to_contain_text("drag to turn")
        dots = page.locator("#view-space .dots")
        dots.scroll_into_view_if_needed()
        before = dots.screenshot()
        box = dots.bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + 290, box["y"] + 190, steps=4)
        page.mouse.up()
        assert dots.screenshot() != before


SIZES = {"wide": (1440, 900), "laptop": (1024, 768), "telephone": (390, 844)}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_accessible_and_fits(url, visit, picture, size, theme):
    """axe-core finds nothing against WCAG AA in what we draw; pictures of the page are left in $ARTEFACTS, else in .artefacts."""
    from axe_playwright_python.sync_playwright import Axe

    width, height = SIZES[size]
    with visit(f"{url}?__theme={theme}", viewport={"width": width, "height": height}) as page:
        ask(page, picture, "What is in this image?")
        page.evaluate("VTE.store.set({ selected: [5, 6] })")
        folder = Path(os.environ.get("ARTEFACTS", ROOT / ".artefacts"))
        folder.mkdir(parents=True, exist_ok=True)
        for view in ("space", "encoder", "sequence"):
            open_view(page, view)
            page.screenshot(path=folder / f"{size}-{theme}-{view}.png", full_page=True)
            options = {"runOnly": ["wcag2a", "wcag2aa"]}
            for violation in Axe().run(page, context={"include": [[".panel"]]}, options=options).response["violations"]:
                raise AssertionError(f"{violation['id']}: {violation['help']}: {[node['html'][:200] for node in violation['nodes'][:3]]}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if size == "wide":  # picture, plot and answer in one window
            for part in ("#received .overlay", "#view-sequence .ribbon", "#answer", "#inspector"):
                box = page.locator(part).bounding_box()
                assert box["y"] >= 0 and box["y"] + box["height"] <= height, part


def test_what_looks_like_code_is_shown_as_text(url, visit, tmp_path):
    path = tmp_path / "<img src=x onerror=window.broken=3>${window.broken=4}.png"
    photo(60, 80).save(path)
    with visit(url) as page:
        page.fill("#texts textarea", NASTY + "\na dog")
        ask(page, path, NASTY)
        expect(page.locator("#similarity [data-ready]:not([data-ready=''])")).to_be_attached()
        expect(page.locator("#similarity th").get_by_text(NASTY)).to_be_visible()
        assert page.evaluate("window.broken") is None


class Nasty:
    """A model whose words look like code."""

    def __init__(self, model) -> None:
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def decode(self, *arguments):
        for step in self.model.decode(*arguments):
            alternatives = tuple(dataclasses.replace(each, token_string=NASTY) for each in step.alternatives)
            yield dataclasses.replace(step, token_string=NASTY, answer=NASTY, alternatives=alternatives)

    def embedding_lens(self, rows, count):
        return tuple(((NASTY, 0.5),) * count for _ in rows)


def test_what_a_model_says_is_shown_as_text(url, visit, picture, tiny_model, monkeypatch):
    monkeypatch.setattr(models, "language", models.Background("language", lambda progress: Nasty(tiny_model)))
    with visit(url) as page:
        ask(page, picture, "What is it?")
        press_patch(page, 3)
        expect(page.locator("#answer .text")).to_have_text(NASTY)
        expect(page.locator("#answer .alternatives tbody .word").first).to_have_text(NASTY)
        expect(page.locator("#inspector .near")).to_contain_text(NASTY)
        open_view(page, "space")
        page.locator("#view-space .colour").select_option("word")
        expect(page.locator("#view-space .key")).to_contain_text(NASTY)
        assert page.evaluate("window.broken") is None


def test_the_lasso_selects_what_lies_inside_and_leaves_text_tokens_out(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.evaluate("Plotly.relayout(document.querySelector('#view-space .plot'), { dragmode: 'lasso' })")
        plot = page.locator("#view-space .plot")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        left, top, right, bottom = box["x"] + 48, box["y"] + 8, box["x"] + box["width"] - 14, box["y"] + box["height"] - 42
        page.mouse.move(left, top)
        page.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 4)):
            page.mouse.move(x, y, steps=6)
        page.mouse.up()
        expect_selected(page, *range(16))


def test_bad_input_leaves_the_page_as_it_was(url, visit, picture, tmp_path):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        expect(page.locator("#similarity [data-ready]:not([data-ready=''])")).to_be_attached()
        parts = ("#answer .text", "#answer .tokens", "#stage-strip .strip", "#received .where", "#view-space .caption", "#similarity .matrix")
        before = {part: page.inner_text(part) for part in parts}
        page.fill("#question textarea", "why? " * 2_000)
        page.click("#run")
        expect(page.get_by_text("10,000 characters")).to_be_visible()
        broken = tmp_path / "broken.png"
        broken.write_bytes(picture.read_bytes()[:200])
        page.locator("#photo").get_by_label("Clear").or_(page.locator("#photo").get_by_label("Remove Image")).first.click()
        page.set_input_files("#photo input[type=file]", broken)
        page.fill("#question textarea", "What is it?")
        page.click("#run")
        expect(page.get_by_text("is damaged or cut off")).to_be_visible()
        assert {part: page.inner_text(part) for part in parts} == before


def test_another_projection_keeps_the_selection(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What else is there?")
        press_patch(page, 11)
        expect_selected(page, 11)
        page.get_by_text("Token space: projection").click()
        page.locator("#method").get_by_text("t-SNE").click()
        expect(page.locator("#view-space .caption")).to_contain_text("t-SNE keeps neighbours together")
        expect_selected(page, 11)


def lab(page, photos, texts) -> None:
    """Compare these photos with these texts."""
    page.set_input_files("#more input[type=file]", photos)
    expect(page.locator("#more")).to_contain_text(Path(photos[-1]).name[:5])
    page.fill("#texts textarea", "\n".join(texts))
    page.click("#compare")
    expect(page.locator("#similarity .matrix tr")).to_have_count(len(texts) + 1, timeout=60_000)


@pytest.fixture
def pictures(tmp_path):
    """Three photos on the visitor's machine."""
    paths = [tmp_path / f"photo{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        photo(70, 90, seed=number).save(path)
    return paths


def losses(page) -> list[float]:
    return [float(value) for value in page.locator("#similarity [data-losses]").get_attribute("data-losses").split()]


def test_the_lab_computes_what_the_library_computes_and_follows_tau(url, visit, pictures, tiny_contrast):
    texts = ["a cat", "a dog", "waves of colour"]
    m = tiny_contrast.similarity([vlm.open_image(path) for path in pictures], texts)
    with visit(url) as page:
        lab(page, pictures, texts)
        assert losses(page) == pytest.approx([m.loss_image, m.loss_text, m.loss, m.loss_sigmoid], rel=1e-4)
        for name, matrix in {"cosine": m.cosine, "logits": m.logits, "image_to_text": m.image_to_text, "text_to_image": m.text_to_image, "sigmoid": m.sigmoid}.items():
            page.locator(f"#similarity [data-name={name}]").click()
            shown = page.locator("#similarity td[data-photo='1'][data-text='2']").inner_text()
            value = float(shown.replace("\u202f%", "").replace("<", "")) / (100 if "%" in shown else 1)
            assert value == pytest.approx(matrix[1, 2], abs=0.006)
        page.locator("#similarity [data-name=image_to_text]").click()
        page.locator("#similarity .tau").fill("6")
        best = int(m.image_to_text[0].argmax())
        sharp = page.locator(f"#similarity td[data-photo='0'][data-text='{best}']").inner_text()
        assert float(sharp.removesuffix("\u202f%")) > 1.5 * 100 * m.image_to_text[0, best]
        page.locator("#similarity .learned").click()
        assert losses(page)[2] == pytest.approx(m.loss, rel=1e-4)
        page.locator("#similarity .shuffle").click()
        assert losses(page)[2] != pytest.approx(m.loss, rel=1e-4)
        page.locator("#similarity .given").click()
        assert losses(page)[2] == pytest.approx(m.loss, rel=1e-4)


def test_the_example_photos_can_be_compared(url, visit):
    with visit(url) as page:
        page.click("#more-examples")
        expect(page.locator("#more")).to_contain_text("chelsea")
        page.click("#compare")
        expect(page.locator("#similarity .matrix img").first).to_be_visible()
        assert page.locator("#similarity .matrix img").count() >= 5


def test_a_cell_shows_where_and_which_words(url, visit, pictures):
    with visit(url) as page:
        lab(page, pictures, ["a red cat", "a dog", "waves"])
        page.locator("#similarity td[data-photo='2'][data-text='0']").click()
        expect(page.locator("#similarity [data-cell]")).to_have_attribute("data-cell", "2,0")
        expect(page.locator("#similarity .sentence .word-change")).to_have_count(3)
        expect(page.locator("#similarity .cell-words")).to_contain_text("looks only at itself")
        page.locator("#similarity .corrected").uncheck()
        expect(page.locator("#similarity .cell-words")).to_contain_text("known to invert")


def test_thirty_two_photos_and_texts_are_shown(url, visit, tmp_path):
    paths = [tmp_path / f"photo{number:02}.png" for number in range(32)]
    for number, path in enumerate(paths):
        photo(40, 50, seed=number).save(path)
    with visit(url) as page:
        lab(page, paths, [f"text number {number}" for number in range(32)])
        expect(page.locator("#similarity td")).to_have_count(1024)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


class Hesitant:
    """A model that gives two tokens of its answer and then waits to be let on."""

    def __init__(self, model) -> None:
        self.model, self.go_on = model, threading.Event()

    def __getattr__(self, name):
        return getattr(self.model, name)

    def decode(self, *arguments):
        for step in self.model.decode(*arguments):
            if step.index == 2:
                self.go_on.wait(60)
            yield step


def test_stop_ends_the_answer_and_keeps_what_came(url, visit, picture, tiny_model, monkeypatch):
    model = Hesitant(tiny_model)
    monkeypatch.setattr(models, "language", models.Background("language", lambda progress: model))
    with visit(url) as page:
        page.set_input_files("#photo input[type=file]", picture)
        expect(page.locator("#photo img").first).to_be_visible()
        page.click("#run")
        expect(page.locator("#answer .token")).to_have_count(2)
        expect(page.locator("#answer .text.waiting")).to_be_attached()
        page.click("#stop")
        expect(page.locator("#answer [data-finished=true]")).to_be_attached()
        expect(page.locator("#answer .text.waiting")).to_have_count(0)
        model.go_on.set()
        ask(page, picture, "And now?")
        expect(page.locator("#answer .token").nth(2)).to_be_visible()


@pytest.fixture(scope="module")
def served(tmp_path_factory, embedded_model):
    """`python app.py` with the embedded model, once its files are there: its address, and the seconds until it answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    log = tmp_path_factory.mktemp("served") / "log.txt"
    environment = {**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    start = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        while True:
            try:
                urlopen(address, timeout=5).read()
                break
            except (URLError, ConnectionError, TimeoutError):
                assert process.poll() is None and time.monotonic() - start < 60, log.read_text()
        yield address, time.monotonic() - start
    finally:
        process.terminate()
        process.wait(20)


def test_the_embedded_model_answers_on_the_page(served, visit):
    address, _ = served
    with visit(address) as page:
        page.set_default_timeout(180_000)
        expect.set_options(timeout=90_000)
        expect(page.locator("#status [data-ready*=vision-language]")).to_be_attached()
        page.fill("#texts textarea", "a photo of a cat\na rocket")
        ask(page, EXAMPLE, f"What animal is this? {NASTY}")
        for symbol, shape in {"x_p": "256 × 588", "X'": "256 × 1,152", "VT": "256 × 576"}.items():
            expect(page.locator(f'#stage-strip [data-symbol="{symbol}"] .shape')).to_have_text(shape)
        press_patch(page, 101)
        expect_selected(page, 101)
        expect(page.locator("#received .where")).to_contain_text(re.compile(r"\b101\b"))

        assert page.inner_text("#answer .text").strip()
        tokens = page.locator("#answer .token")
        assert tokens.count() >= 1
        tokens.first.hover()
        expect(page.locator("#answer .alternatives tbody tr")).to_have_count(8)

        expect(page.locator("#similarity [data-ready]:not([data-ready=''])")).to_be_attached()
        cells = page.locator("#similarity .matrix td")
        assert float(cells.nth(0).inner_text()) > float(cells.nth(1).inner_text())  # a cat, not a rocket
        assert page.evaluate("window.broken") is None


def test_the_page_is_there_before_the_models_are(served):
    _, seconds = served
    assert seconds < 20  # six on a machine that does nothing else


def test_the_ledger_counts_for_the_photo_and_for_any_size(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        expect(page.locator("#ledger [data-ready='150 90']")).to_be_attached(timeout=60_000)
        page.fill("#ledger-width input", "1920")
        page.fill("#ledger-height input", "1080")
        page.click("#ledger-count")
        expect(page.locator("#ledger [data-ready='1920 1080']")).to_be_attached(timeout=60_000)
        shown = {row.locator("td").nth(0).inner_text(): row.locator("td").nth(1).inner_text() for row in page.locator("#ledger tbody tr").all()}
        assert shown == {each.family: f"{each.tokens:,}" for each in vlm.ledger(1080, 1920)}


def test_an_experiment_answers_again_beside_the_old_answer(url, visit, picture, tiny_model):
    trace = tiny_model.trace(vlm.open_image(picture), "What is in this image?", vlm.Decoding(max_new_tokens=32))
    changed = vlm.experiments.remove(trace, [5, 6])
    after = np.exp(tiny_model.score(changed, [step.token_id for step in trace.steps]))
    again = list(tiny_model.decode(changed, vlm.Decoding(max_new_tokens=32)))[-1].answer
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.click("#experiments .go")
        expect(page.get_by_text("No token is selected")).to_be_visible()
        press_patch(page, 5)
        press_patch(page, 6, modifiers=["Shift"])
        page.click("#experiments .go")
        expect(page.locator("#experiments [data-finished=true]")).to_be_attached()
        expect(page.locator("#experiments .first")).to_have_text(trace.answer)
        assert page.evaluate("document.querySelector('#experiments .second').textContent") == again
        shown = page.locator("#experiments .old .token .p").first.inner_text().split(" → ")[1]
        assert float(shown.removesuffix("\u202f%").replace("<", "")) / 100 == pytest.approx(after[0], abs=0.006)
