"""The page in a real browser: on tiny models for its mechanics, and once with the embedded model as `python app.py` serves it."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

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
    """Upload, type, press Enter; wait for the end of the answer."""
    page.set_input_files("#photo input[type=file]", path)
    expect(page.locator("#photo img").first).to_be_visible()
    page.fill("#question textarea", question)
    page.press("#question textarea", "Enter")
    expect(page.locator("#answer [data-finished=true]")).to_be_attached()
    expect(page.locator("#projection [data-ready]")).to_be_attached()


def press_patch(page, row: int, column: int, rows: int, columns: int, **options) -> int:
    """Click the middle of a patch; its index."""
    overlay = page.locator("#patch-grid .overlay")
    overlay.scroll_into_view_if_needed()
    box = overlay.bounding_box()
    overlay.click(position={"x": (column + 0.5) * box["width"] / columns, "y": (row + 0.5) * box["height"] / rows}, **options)
    return row * columns + column


def expect_selected(page, *tokens: int) -> None:
    """Grid and projection show the same selection, and the projection a ring for each at its point."""
    for panel in ("patch-grid", "projection"):
        expect(page.locator(f"#{panel} [data-selected]")).to_have_attribute("data-selected", ",".join(map(str, tokens)))
    for token in tokens:
        expect(page.locator(f"#projection .ring[data-token='{token}']").first).to_be_visible()
    assert page.evaluate(
        """() => { const plot = document.querySelector('#projection .plot'), layout = plot._fullLayout, [points] = plot.data;
        return [...plot.querySelectorAll('.ring')].every(ring => { const token = +ring.dataset.token;
          return Math.abs(parseFloat(ring.style.left) - layout.xaxis._offset - layout.xaxis.d2p(points.x[token])) < 1
              && Math.abs(parseFloat(ring.style.top) - layout.yaxis._offset - layout.yaxis.d2p(points.y[token])) < 1; }); }"""
    )


def test_mouse_and_keyboard_select_patches_in_every_panel(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        first = press_patch(page, 1, 2, 4, 4)
        expect_selected(page, first)
        second = press_patch(page, 3, 0, 4, 4, modifiers=["Shift"])
        expect_selected(page, first, second)
        page.focus("#patch-grid .overlay")
        page.keyboard.press("ArrowUp")
        expect_selected(page, second - 4)
        page.keyboard.press("Escape")
        expect_selected(page)
        assert page.locator("#projection .ring:not(.hover)").count() == 0


def test_a_point_of_the_projection_selects_its_patch(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.locator("#projection .plot").scroll_into_view_if_needed()
        # the point that stands freest, so that no other lies over it
        token, x, y = page.evaluate(
            """() => { const plot = document.querySelector('#projection .plot'), {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
            const place = trace => trace.x.map((x, i) => [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(trace.y[i])]);
            const all = plot.data.flatMap(place), distance = ([x, y], i) => Math.min(...all.map(([u, v], j) => i === j ? 1e9 : Math.hypot(x - u, y - v)));
            const visual = place(plot.data[0]), best = visual.map(distance).reduce((best, d, i, all) => d > all[best] ? i : best, 0);
            return [best, box.left + visual[best][0], box.top + visual[best][1]]; }"""
        )
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        expect(page.locator("#projection .hoverlayer .hovertext")).to_be_visible()
        page.mouse.down()
        page.mouse.up()
        expect_selected(page, token)


def test_what_looks_like_code_is_shown_as_text(url, visit, tmp_path):
    path = tmp_path / "<img src=x onerror=window.broken=3>${window.broken=4}.png"
    photo(60, 80).save(path)
    with visit(url) as page:
        page.fill("#texts textarea", NASTY + "\na dog")
        ask(page, path, NASTY)
        expect(page.locator("#similarity [data-ready]")).to_be_attached()
        expect(page.locator("#similarity th").get_by_text(NASTY)).to_be_visible()
        assert page.evaluate("window.broken") is None


def test_bad_input_leaves_the_page_as_it_was(url, visit, picture, tmp_path):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        expect(page.locator("#similarity [data-ready]")).to_be_attached()
        parts = ("#answer .text", "#answer .tokens", "#stage-strip .strip", "#patch-grid .where", "#projection .caption", "#similarity .matrix")
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


def test_another_projection_keeps_the_selection(url, visit, picture, monkeypatch):
    pca = vlm.project
    monkeypatch.setattr(vlm, "project", lambda rows, method, seed: replace(pca(rows), points=-pca(rows).points, method="umap", explained=()))
    with visit(url) as page:
        ask(page, picture, "What else is there?")
        token = press_patch(page, 2, 3, 4, 4)
        expect_selected(page, token)
        page.locator("#method").get_by_text("UMAP").click()
        expect(page.locator("#projection .caption")).to_contain_text("UMAP keeps neighbours together")
        expect_selected(page, token)


class Hesitant:
    """A model that gives two tokens of its answer and then waits to be let on."""

    def __init__(self, model) -> None:
        self.model, self.go_on = model, threading.Event()

    def encode(self, image, question):
        return self.model.encode(image, question)

    def decode(self, trace, decoding):
        for step in self.model.decode(trace, decoding):
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


def test_the_page_fits_a_telephone(url, visit, picture):
    with visit(url, viewport={"width": 420, "height": 900}) as page:
        ask(page, picture, "What is in this image?")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        expect_selected(page, press_patch(page, 2, 1, 4, 4))


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
        token = press_patch(page, 6, 5, 16, 16)
        expect_selected(page, token)
        expect(page.locator("#patch-grid .where")).to_contain_text(re.compile(rf"\b{token}\b"))

        assert page.inner_text("#answer .text").strip()
        tokens = page.locator("#answer .token")
        assert tokens.count() >= 1
        tokens.first.hover()
        expect(page.locator("#answer .alternatives tbody tr")).to_have_count(8)

        expect(page.locator("#similarity [data-ready]")).to_be_attached()
        cells = page.locator("#similarity .matrix td")
        assert float(cells.nth(0).inner_text()) > float(cells.nth(1).inner_text())  # a cat, not a rocket
        assert page.evaluate("window.broken") is None


def test_the_page_is_there_before_the_models_are(served):
    _, seconds = served
    assert seconds < 20  # six on a machine that does nothing else
