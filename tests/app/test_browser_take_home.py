"""A run taken home: the page opens without a network and stays linked, the table is a table, the
link brings the view back.
"""

import csv
import zipfile

import pytest

import vlm
from app import models
from tests.app.asking import server
from tests.app.browsing import ask, expect, meet_a_dot, open_view, place, press_patch
from tests.app.test_browser import NASTY, Nasty


def take(page, kind: str, folder):
    """Click one of the buttons; the file it gives."""
    button = page.locator(f"#take-home [data-kind={kind}]")
    if not button.is_visible():
        page.get_by_text("Take home: this run").click()
    expect(button).to_be_enabled()
    with page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    expect(page.locator("#take-home .hint")).to_have_text("Saved.")
    return path


@pytest.fixture
def taken(url, visit, picture, tmp_path):
    """The page that is kept of a run, with two tokens selected and a note."""
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        press_patch(page, 5)
        press_patch(page, 6, modifiers=["Shift"])
        page.get_by_text("Take home: this run").click()
        page.fill("#take-home textarea", NASTY)
        yield take(page, "page", tmp_path)


def test_the_page_that_is_kept_opens_without_a_network_and_stays_linked(taken, visit):
    assert taken.name == "what-is-in-this-image.html"
    with visit(taken.as_uri()) as page:
        page.route("http*://**", lambda route: route.abort())
        expect(page.locator("html[data-ready=true]")).to_be_attached()
        expect(page.locator("h1")).to_have_text("What is in this image?")
        expect(
            page.locator("#received [data-selected], #received[data-selected]")
        ).to_have_attribute("data-selected", "5,6")
        page.hover("#received .overlay", position=place(page, 9))
        # the plot lights up
        expect(page.locator("#scatter")).to_have_attribute("data-hovered", "9")
        expect(page.locator("#inspector .where")).to_contain_text("patch 9")
        expect(page.locator("#connector .map-marks .mark.hover").first).to_be_visible()
        page.locator("#sequence .word").first.hover()
        expect(page.locator("#scatter .told")).to_contain_text("text token")
        page.locator("#answer .token").nth(1).click()
        page.check("#answer .look")
        expect(page.locator("#answer .looked-at")).to_contain_text("was the picture")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_dot_of_the_kept_plot_lights_its_patch(taken, visit):
    with visit(taken.as_uri()) as page:
        expect(page.locator("html[data-ready=true]")).to_be_attached()
        page.focus("#scatter .dots")
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#received")).to_have_attribute("data-selected", "0")
        hovered, _, _ = meet_a_dot(page, "#scatter .dots")
        expect(page.locator("#inspector .where")).to_contain_text(f"patch {hovered}")


def test_what_looks_like_code_is_text_in_the_kept_page(
    taken, visit, url, picture, tmp_path, tiny_model, monkeypatch
):
    with visit(taken.as_uri()) as page:
        expect(page.locator("#notes")).to_have_text(NASTY)
        assert page.evaluate("window.broken") is None
    monkeypatch.setattr(
        server.models, "language", models.Background("language", lambda progress: Nasty(tiny_model))
    )
    with visit(url) as page:
        ask(page, picture, NASTY + "</script><script>window.broken=5</script>")
        kept, table = take(page, "page", tmp_path), take(page, "table", tmp_path)
    with visit(kept.as_uri()) as page:
        expect(page.locator("html[data-ready=true]")).to_be_attached()
        expect(page.locator("h1")).to_contain_text("</script><script>")
        expect(page.locator("#answer .text")).to_have_text(NASTY)
        assert page.evaluate("window.broken") is None
    assert NASTY in table.read_text("utf-8-sig")


def test_the_answer_is_a_table_and_the_tensors_are_a_run(url, visit, picture, tmp_path, tiny_model):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        table, run = take(page, "table", tmp_path), take(page, "run", tmp_path)
        steps = page.evaluate("VTE.store.state.answer.steps")
    with table.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:5] == [
        "step",
        "token",
        "probability",
        "probability after D_d",
        "entropy in bits",
    ] and len(rows) == len(steps)
    assert all(
        float(row[2]) == step["probability"] and len(row) == len(head)
        for row, step in zip(rows, steps)
    )
    assert all(
        row[1] == step["string"] or row[1] == "'" + step["string"] for row, step in zip(rows, steps)
    )
    # nothing a spreadsheet would compute
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]
    with zipfile.ZipFile(run) as archive:
        archive.extractall(tmp_path / "run")
    again = vlm.replay(tmp_path / "run")
    assert again.identical, again.words


def test_ones_own_photo_has_no_link(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        page.get_by_text("Take home: this run").click()
        page.click("#take-home [data-kind=link]")
        expect(page.locator("#take-home .hint")).to_contain_text(
            "Only a run on an example photo has a link"
        )
        assert "#" not in page.url


def test_a_link_brings_example_question_settings_selection_and_view_back(url, visit):
    with visit(url) as page:
        page.locator("#examples img, #examples button").nth(1).click()
        expect(page.locator("#photo img").first).to_be_visible()
        page.fill("#question textarea", "What is on the table & why?")
        page.click("#run")
        expect(page.locator("#answer [data-finished=true]")).to_be_attached()
        open_view(page, "connector")
        press_patch(page, 5)
        page.wait_for_function(
            "location.hash.includes('selected=5') && location.hash.includes('open=connector')"
        )
        link, answer = page.url, page.inner_text("#answer .tokens")
    with visit(link) as page:
        expect(page.locator("#answer [data-finished=true]")).to_be_attached()
        expect(page.locator("#question textarea")).to_have_value("What is on the table & why?")
        page.wait_for_function(
            "VTE.store.state.selected.join() === '5' && VTE.store.state.open.join() === 'connector'"
        )
        assert page.inner_text("#answer .tokens") == answer
        page.wait_for_function("location.hash.includes('selected=5')")
        page.get_by_text("Take home: this run").click()
        page.evaluate(
            "() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }"
        )
        page.click("#take-home [data-kind=link]")
        # where it cannot be copied it can be read
        expect(page.locator("#take-home .hint")).to_have_text(page.url)


def test_a_map_and_the_plot_are_saved_as_pictures_with_what_is_selected(
    url, visit, picture, tmp_path
):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        open_view(page, "connector")
        press_patch(page, 5)
        figure = page.locator("#view-connector .map").nth(2)
        figure.hover()
        with page.expect_download() as download:
            figure.locator(".save-picture").click()
        assert download.value.suggested_filename == "what-is-in-this-image-x-length-of-each-row.png"
        download.value.save_as(tmp_path / "map.png")
        open_view(page, "space")
        page.wait_for_function("document.querySelector('#view-space [data-ready]')")
        with page.expect_download() as download:
            page.click("#view-space .save-picture")
        download.value.save_as(tmp_path / "plot.png")
    image = vlm.open_image(tmp_path / "map.png")
    colours = image.getcolors(image.width * image.height)
    # the outline of the selected patch
    assert min(image.size) > 600 and (232, 89, 12) in {colour for _, colour in colours}
    plot = vlm.open_image(tmp_path / "plot.png")
    assert len({colour for _, colour in plot.getcolors(plot.width * plot.height)}) > 50


@pytest.mark.parametrize("width", [1440, 390])
def test_what_is_taken_home_is_accessible_and_fits(taken, visit, url, picture, width):
    """axe-core finds nothing against WCAG AA in the kept page, nor in the panel that makes it, in
    either theme.
    """
    from axe_playwright_python.sync_playwright import Axe

    def check(page, part: str) -> None:
        found = (
            Axe()
            .run(page, context={"include": [[part]]}, options={"runOnly": ["wcag2a", "wcag2aa"]})
            .response["violations"]
        )
        assert [
            (each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found
        ] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    size = {"width": width, "height": 844}
    with visit(taken.as_uri(), viewport=size) as page:
        expect(page.locator("html[data-ready=true]")).to_be_attached()
        check(page, "body")
    with visit(f"{url}?__theme=dark", viewport=size) as page:
        ask(page, picture, "What is in this image?")
        page.get_by_text("Take home: this run").click()
        expect(page.locator("#take-home [data-kind=page]")).to_be_enabled()
        check(page, "#take-home")
