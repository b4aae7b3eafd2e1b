"""The page in a real browser, on tiny models: it fits, it is accessible, and nothing that a visitor
or a model says breaks it.
"""

import dataclasses
import os
import threading
from pathlib import Path

import pytest

from app import models
from tests.app.asking import server
from tests.app.browsing import ask, expect, open_view, press_patch
from tests.tiny import photo

ROOT = Path(__file__).parents[2]
NASTY = "<img src=x onerror=window.broken=1> ${window.broken=2} {{value}}"


def test_an_earlier_run_comes_back_at_once(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        first = page.inner_text("#answer .tokens")
        ask(page, picture, "Where is the dog?")
        expect(page.locator("#history .run")).to_have_count(2)
        page.locator("#history .run").nth(1).click()
        expect(page.locator("#answer .prompt")).to_contain_text("What is in this image?")
        assert page.inner_text("#answer .tokens") == first


SIZES = {"wide": (1440, 900), "laptop": (1024, 768), "telephone": (390, 844)}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_accessible_and_fits(url, visit, picture, size, theme):
    """axe-core finds nothing against WCAG AA in what we draw.

    Pictures of the page are left in $ARTEFACTS, else in .artefacts.
    """
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
            for violation in (
                Axe()
                .run(page, context={"include": [[".panel"]]}, options=options)
                .response["violations"]
            ):
                raise AssertionError(
                    f"{violation['id']}: {violation['help']}:"
                    f" {[node['html'][:200] for node in violation['nodes'][:3]]}"
                )
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
            alternatives = tuple(
                dataclasses.replace(each, token_string=NASTY) for each in step.alternatives
            )
            yield dataclasses.replace(
                step, token_string=NASTY, answer=NASTY, alternatives=alternatives
            )

    def inspect(self, trace, **held):
        look = self.model.inspect(trace, **held)
        look.embedding_lens = lambda tokens=None, count=5: (
            (((NASTY, 0.5),) * count,) * len(trace.visual_tokens.embeddings)
        )
        return look


def test_what_a_model_says_is_shown_as_text(url, visit, picture, tiny_model, monkeypatch):
    monkeypatch.setattr(
        server.models, "language", models.Background("language", lambda progress: Nasty(tiny_model))
    )
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


def test_bad_input_leaves_the_page_as_it_was(url, visit, picture, tmp_path):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        expect(page.locator("#similarity [data-ready]:not([data-ready=''])")).to_be_attached()
        parts = (
            "#answer .text",
            "#answer .tokens",
            "#stage-strip .strip",
            "#received .where",
            "#view-space .caption",
            "#similarity .matrix",
        )
        before = {part: page.inner_text(part) for part in parts}
        page.fill("#question textarea", "why? " * 2_000)
        page.click("#run")
        expect(page.locator("#failure-run").get_by_text("10,000 characters")).to_be_visible()
        broken = tmp_path / "broken.png"
        broken.write_bytes(picture.read_bytes()[:200])
        page.locator("#photo").get_by_label("Clear").or_(
            page.locator("#photo").get_by_label("Remove Image")
        ).first.click()
        page.set_input_files("#photo input[type=file]", broken)
        page.fill("#question textarea", "What is it?")
        page.click("#run")
        expect(page.locator("#failure-run").get_by_text("is damaged or cut off")).to_be_visible()
        assert {part: page.inner_text(part) for part in parts} == before


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
    monkeypatch.setattr(
        server.models, "language", models.Background("language", lambda progress: model)
    )
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
