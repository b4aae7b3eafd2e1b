"""In a browser: what fails is said where the visitor asked for it, and what is not of the photo in
sight is visibly from an earlier run.
"""

import pytest

import vlm
from app import models
from app.handlers import answering, contrastive
from tests.app.asking import server
from tests.app.browsing import ask, expect, type_model
from tests.app.test_faults import Breaking
from tests.tiny import photo, tiny_llava

EARLIER = "From an earlier run"


@pytest.fixture
def model(tiny_page, tiny_model, monkeypatch):
    """The page's model, which breaks when it is told to."""
    breaking = Breaking(tiny_model)
    job = models.Background("language", lambda progress: breaking)
    monkeypatch.setattr(server.models, "language", job)
    return breaking


def change_photo(page, path) -> None:
    page.locator("#photo").get_by_label("Clear").or_(
        page.locator("#photo").get_by_label("Remove Image")
    ).first.click()
    page.set_input_files("#photo input[type=file]", path)
    expect(page.locator("#photo img").first).to_be_visible()


def failed(page, place: str):
    return page.locator(f"#failure-{place} .went-wrong")


def is_earlier(page, answer: bool = True) -> None:
    for panel in ("#received", "#answer"):
        expect(page.locator(f"{panel} .earlier")).to_contain_text(EARLIER)
    expect(page.locator("html")).to_have_attribute("data-earlier", "true")


def is_present(page) -> None:
    for panel in ("#received", "#answer"):
        expect(page.locator(f"{panel} .earlier")).to_be_hidden()
    expect(page.locator("html")).to_have_attribute("data-earlier", "false")


def test_a_photo_that_fails_says_so_and_the_old_run_is_called_an_earlier_one(
    url, visit, picture, pictures, model
):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        is_present(page)
        change_photo(page, pictures[0])  # before anything is asked about it
        is_earlier(page)
        model.broken = "encode_image"
        page.click("#run")
        expect(failed(page, "run")).to_contain_text("(AttributeError): try it again")
        is_earlier(page)
        page.wait_for_function("!VTE.store.state.busy")
        model.broken = ""
        page.click("#run")
        page.wait_for_function(
            "VTE.store.state.answer && VTE.store.state.answer.finished && !VTE.store.state.earlier"
        )
        expect(failed(page, "run")).to_be_hidden()
        is_present(page)
        page.locator("#history .run").nth(1).click()  # of the first photo
        is_earlier(page)
        page.locator("#history .run").nth(0).click()
        is_present(page)


def test_a_sentence_of_the_library_is_said_as_text(url, visit, picture, tmp_path, model):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.fill("#question textarea", "What is <image> & <b>this</b>?")
        page.click("#run")
        expect(failed(page, "run")).to_contain_text("The question holds '<image>', which")
        is_earlier(page)  # the photo is the same, the run is not the one that was asked for
        expect(page.locator("#answer .earlier")).to_contain_text("the last one failed")
        broken = tmp_path / "broken.png"
        broken.write_bytes(picture.read_bytes()[:80])
        change_photo(page, broken)
        expect(failed(page, "run")).to_be_hidden()  # it was about the other one
        page.click("#run")
        expect(failed(page, "run")).to_contain_text("'broken.png' is damaged")


def test_an_answer_that_breaks_off_is_called_so(url, visit, picture, model):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        model.broken = "decode"
        page.fill("#question textarea", "What breaks later?")
        page.click("#run")
        expect(failed(page, "run")).to_contain_text("(ZeroDivisionError)")
        expect(page.locator("#answer .earlier")).to_contain_text("This run broke off")
        expect(page.locator("html")).to_have_attribute("data-earlier", "false")


def test_a_run_of_the_model_before_is_called_an_earlier_one(
    url, visit, picture, model, only_the_start, tmp_path, configure
):
    configure(models=str(tmp_path))
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.locator("#models button.label-wrap").click()
        type_model(page, "#language-model", str(tiny_llava(tmp_path / "second", seed=5)))
        page.click("#load")
        expect(page.locator("#answer .earlier")).to_contain_text("by the model that was in use")
        is_earlier(page)


def broken(*arguments, **named):
    raise ZeroDivisionError("a bug")


def test_whatever_fails_elsewhere_is_said_where_it_was_asked_for(
    url, visit, picture, model, monkeypatch
):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        for accordion in ("Token space: projection", "Model:", "Is this true?"):
            page.locator("button.label-wrap", has_text=accordion).first.click()
        page.click("#experiments [data-kind=shuffle]")
        places = (
            ("experiment", "#experiments .go", (vlm.token_changes, "shuffle")),
            ("findings", "#facts .go", (vlm.findings, "check")),
            ("lab", "#compare", (contrastive, "readable")),
            ("ledger", "#ledger-count", (vlm, "count_visual_tokens_at")),
            ("check", "#check", (server.uploads, "open")),
            ("beside", "#run-beside", (server.models, "choose")),
            ("model", "#load", (server.models, "choose")),
            ("plane", "#method input[value=umap]", (answering, "project")),
        )
        for place, button, (owner, name) in places:
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, broken)
                page.locator(button).first.click()
                expect(failed(page, place)).to_contain_text("(ZeroDivisionError): try it again")
                assert page.locator(".went-wrong:visible").count() == 1
        is_present(page)  # the run itself is what it was


def test_what_the_script_is_not_answered_is_said_too(url, visit, tmp_path, model):
    path = tmp_path / "own.png"  # of which nobody asked before what its patches look at
    photo(90, 150, seed=9).save(path)
    with visit(url) as page:
        ask(page, path, "What is in this image?")
        page.locator("#view-tabs [data-view=patches]").click()
        model.broken = "inspect"
        page.evaluate("VTE.store.set({ selected: [3], layer: 1 })")
        expect(page.locator("#view-patches .hint")).to_contain_text("(AttributeError)")
        page.route("**/component_server/**", lambda route: route.abort())
        page.evaluate("VTE.store.set({ selected: [4] })")
        expect(page.locator("#view-patches .hint")).to_contain_text("The server did not answer")
