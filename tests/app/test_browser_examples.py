"""Instant examples in a browser: alive before any model is, and once it is, as any other run."""

import json
import threading

import pytest

from app import build_examples, examples, models
from app.page import build, launch_options
from tests.app.asking import server
from tests.app.browsing import ask, expect, open_view, press_patch
from tests.app.test_examples import forget

SHIPPED = json.loads((examples.FOLDER / examples.INDEX).read_text())
WHOLE = """() => {
    if (!window.VTE || !VTE.store) return false;
    const { record, plane, answer, words } = VTE.store.state;
    return record && plane && words && answer && answer.finished
      && document.querySelector('#answer .token')
      && document.querySelector('#view-space [data-ready]')
      && document.querySelector('#received .picture').naturalWidth;
}"""


@pytest.fixture
def tiny_examples(tiny_page, tmp_path, monkeypatch):
    """Two examples that the tiny model made, and a server that has forgotten them."""
    monkeypatch.setattr(server.precomputed, "folder", tmp_path)
    build_examples.build(server, examples.QUESTIONS[:2], report=lambda line: None)
    forget()


@pytest.fixture
def waiting(tiny_page, monkeypatch):
    """Serve the page with models that come when they are let in: (address, let in)."""
    coming, pages = threading.Event(), []
    for name, title in {
        "language": "vision-language model",
        "contrastive": "contrastive model",
        "umap": "UMAP view",
    }.items():
        model = getattr(server.models, name).get()
        monkeypatch.setattr(
            server.models,
            name,
            models.Background(title, lambda progress, model=model: coming.wait(120) and model),
        )
    server.models.begin_loading()

    def serve() -> str:
        pages.append(build(server))
        return pages[0].launch(
            prevent_thread_lock=True,
            quiet=True,
            server_name="127.0.0.1",
            **launch_options(pages[0]),
        )[1]

    yield serve, coming
    coming.set()
    for page in pages:
        page.close()


@pytest.fixture
def without_models(waiting, monkeypatch):
    """The page as it is shipped, with models that never come."""
    monkeypatch.setattr(server.precomputed, "weights", lambda: SHIPPED["weights"])
    return waiting[0]()


def test_the_first_example_is_there_whole_before_any_model(without_models, visit):
    with visit(without_models) as page:
        page.wait_for_function(WHOLE)
        assert server.models.language.status.state == "loading"
        _, question = examples.QUESTIONS[0]
        expect(page.locator("#question textarea")).to_have_value(question)
        expect(page.locator("#photo img").first).to_be_visible()
        for symbol, shape in {"x_p": "256 × 588", "X'": "256 × 1,152", "VT": "256 × 576"}.items():
            expect(page.locator(f'#stage-strip [data-symbol="{symbol}"] .shape')).to_have_text(
                shape
            )
        expect(page.locator("#instant .said")).to_contain_text(
            f"Computed beforehand with this very model ({SHIPPED['made']}"
        )
        for view in ("encoder", "connector", "sequence"):
            open_view(page, view)
        open_view(page, "encoder")
        for layer in (0, 6, 12):  # every layer's main directions
            page.evaluate("layer => VTE.store.set({ layer })", layer)
            expect(page.locator("#view-encoder figcaption").first).to_contain_text(
                "of the variance"
            )
            page.wait_for_function(
                "layer => VTE.store.state.colours && VTE.store.state.colours.about[0] === layer",
                arg=layer,
            )
        open_view(page, "lens")
        page.locator("#view-lens [data-part=table]").click()
        expect(page.locator("#view-lens [data-rows='256']")).to_be_attached()
        expect(page.locator("#view-lens .grid tbody td[data-layer='30']").first).not_to_have_text(
            ""
        )
        page.locator("#answer .token").nth(1).click()
        expect(page.locator("#answer .looked-at")).to_contain_text("was the picture")
        open_view(page, "looked")
        expect(page.locator("#view-looked [data-word='1']")).to_be_attached()


def test_every_example_is_there_at_a_click_without_a_model(without_models, visit):
    with visit(without_models) as page:
        page.wait_for_function(WHOLE)
        for number in (*range(1, len(examples.QUESTIONS)), 0):
            run = SHIPPED["runs"][number]
            page.locator("#examples .gallery-item, #examples button.gallery-item").nth(
                number
            ).click()
            page.wait_for_function(
                "run => VTE.store.state.record.run === run &&"
                " VTE.store.state.answer.key.startsWith(run)",
                arg=run["run"],
            )
            # the photo in sight is the example's
            page.wait_for_function("VTE.store.state.chosen && !VTE.store.state.earlier")
            expect(page.locator("#question textarea")).to_have_value(run["question"])
            expect(page.locator("#answer .text")).not_to_have_text("")
        # the first came back from there
        assert page.evaluate("VTE.store.state.history.length") == len(examples.QUESTIONS)


def test_what_needs_the_model_says_so_and_comes_with_it(tiny_examples, waiting, visit):
    """With examples of a tiny model, which is let in when the visitor has clicked about."""
    serve, coming = waiting
    with visit(serve()) as page:
        page.wait_for_function(WHOLE)
        press_patch(page, 5)
        open_view(page, "patches")
        expect(page.locator("#view-patches .hint")).to_have_text(
            "This needs the model, which is still loading; it comes as soon as that is there."
        )
        open_view(page, "looked", beside=True)
        page.evaluate(
            "document.querySelector('#view-looked .of').value = 1;"
            " document.querySelector('#view-looked .of').dispatchEvent(new Event('input'))"
        )
        expect(page.locator("#view-looked .hint")).to_contain_text("still loading")
        coming.set()
        expect(page.locator("#view-patches .hint")).to_have_text("")
        expect(page.locator("#view-patches .strips canvas")).to_be_visible()
        expect(page.locator("#view-looked .hint")).to_have_text("")
        expect(page.locator("#instant .said")).not_to_contain_text("loaded")
        page.get_by_role("button", name="Answer again").click()
        expect(page.locator("#experiments [data-finished=true]")).to_be_attached()
        page.get_by_text("Token space: projection").click()
        # the plane is asked of photo and question, which the controls hold
        page.locator("#dimensions label").nth(1).click()
        page.wait_for_function("VTE.store.state.plane.points.shape[1] === 3")


def test_a_run_follows_an_example_and_the_example_comes_back(
    tiny_examples, waiting, visit, picture
):
    serve, coming = waiting
    coming.set()
    with visit(serve()) as page:
        page.wait_for_function(WHOLE)
        page.wait_for_function("location.hash.includes('example=chelsea.jpg')")
        link = page.url
        ask(page, picture, "Where is it?")
        assert page.evaluate("!VTE.store.state.record.instant")
        expect(page.locator("#received .earlier")).to_be_hidden()
        expect(page.locator("#instant .said")).to_be_hidden()
        page.locator("#examples .gallery-item").first.click()
        page.wait_for_function("VTE.store.state.record.instant && !VTE.store.state.earlier")
    with visit(link + "&selected=3") as page:  # a link to it needs no run either
        page.wait_for_function(
            "window.VTE && VTE.store && VTE.store.state.record && VTE.store.state.record.instant &&"
            " VTE.store.state.selected.join() === '3'"
        )


def test_without_files_of_its_own_the_model_is_waited_for_as_ever(url, visit):
    with visit(url) as page:
        expect(page.locator("#status [data-ready]")).to_be_attached()
        assert page.evaluate("VTE.store.state.record") is None
        expect(page.locator("#photo input[type=file]")).to_be_attached()
        page.locator("#examples .gallery-item").nth(1).click()
        expect(page.locator("#photo img").first).to_be_visible()
        expect(page.locator("#question textarea")).to_have_value(examples.QUESTIONS[0][1])
        assert page.evaluate("VTE.store.state.record") is None
