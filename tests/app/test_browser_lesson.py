"""The lesson and the glossary as a visitor meets them: with the numbers of their own run, by
pointer and by keyboard, and never over what they are about.
"""

import json
import re

import pytest

import vlm
from app.panels import HERE
from tests.app.browsing import ask, expect

LESSON = json.loads((HERE / "lesson.json").read_text())
GLOSSARY = json.loads((HERE / "glossary.json").read_text())
QUESTION = "What is in this image?"


def at_rest(page) -> None:
    """Two frames: what was set is drawn, what was drawn is scrolled to."""
    page.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>"
        " requestAnimationFrame(done))))"
    )


def test_the_lesson_tells_the_numbers_of_ones_own_run(url, visit, picture, tiny_model):
    with visit(url) as page:
        page.locator("#lesson .start").click()
        expect(page.locator("#lesson .title")).to_contain_text(LESSON[0]["title"])
        page.locator("#lesson .reveal").click()
        # no run yet, and it says so
        expect(page.locator("#lesson .answer")).to_contain_text("press Run")
        ask(page, picture, QUESTION)
        page.wait_for_function(
            "VTE.store.state.lab && document.querySelector('#similarity .matrix td')"
        )
        seen = []
        for number, step in enumerate(LESSON):
            expect(page.locator("#lesson [data-step]")).to_have_attribute(
                "data-step", str(number + 1)
            )
            expect(page.locator("#lesson .answer")).to_have_text("" if number else re.compile("."))
            if number:
                page.locator("#lesson .reveal").click()
            if "view" in step:
                assert page.evaluate("VTE.store.state.open") == [step["view"]]
            expect(page.locator("#lesson .answer")).not_to_contain_text("…")
            assert "…" not in page.inner_text("#lesson .see") and page.inner_text("#lesson .answer")
            seen.append(
                page.inner_text("#lesson .see")
                + page.inner_text("#lesson .ask")
                + page.inner_text("#lesson .answer")
            )
            if number + 1 < len(LESSON):
                page.locator("#lesson .next").click()
        expect(page.locator("#lesson .next")).to_be_disabled()
        record, answer = page.evaluate(
            "[{ ...VTE.store.state.record, photo: '' }, VTE.store.state.answer]"
        )
        words = page.evaluate("VTE.store.state.words.words")
    trace = tiny_model.encode(vlm.open_image(picture), QUESTION)
    N, V, T, S = (
        len(trace.patches.places),
        len(trace.visual_tokens.embeddings),
        len(trace.text_tokens.token_strings),
        trace.inputs_embeds.shape[0],
    )
    assert (
        f"{N} × {trace.encoder_output.shape[1]}" in seen[3]
        and "576" in seen[1]
        and f"N = {N}" in seen[1]
    )
    assert (
        f"{V} × {trace.inputs_embeds.shape[1]}" in seen[5]
        and f"T = {T}" in seen[6]
        and f"{V} of {S}" in seen[7]
    )
    assert f"{sum(role == 'question' for role in trace.roles)} for the question" in seen[6]
    [token] = [token for token in range(V) if f"visual token {token} " in seen[8]]
    assert f"{words[token][0][1]:.2f}" in seen[8] and record["question"] == QUESTION
    assert answer["answer"] in seen[9] and f"{answer['steps'][0]['entropy']:.2f} bits" in seen[9]


@pytest.mark.parametrize(("width", "height", "theme"), [(1440, 900, "light"), (390, 844, "dark")])
def test_the_lesson_never_lies_over_what_it_is_about_and_is_accessible(
    url, visit, picture, width, height, theme
):
    from axe_playwright_python.sync_playwright import Axe

    with visit(f"{url}?__theme={theme}", viewport={"width": width, "height": height}) as page:
        ask(page, picture, QUESTION)
        page.locator("#lesson .start").click()
        for number, step in enumerate(LESSON):
            at_rest(page)
            target = "#view-tabs" if "view" in step else step["target"]
            tabs, view, dock = (
                page.locator(each).bounding_box()
                for each in (
                    target,
                    f"#view-{step['view']}" if "view" in step else target,
                    "#lesson .dock",
                )
            )
            assert 0 <= tabs["y"] < dock["y"] - 100, step["title"]
            assert view["y"] < dock["y"] - 100 and dock["y"] + dock["height"] <= height + 1
            if width > 900 and "view" in step:
                assert view["y"] + view["height"] <= dock["y"], step["title"]  # the whole of it
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if number == 1:
                page.locator("#lesson .reveal").click()
                found = (
                    Axe()
                    .run(
                        page,
                        context={
                            "include": [["#lesson"], ["#stage-strip"], ["#view-tabs"], ["#views"]]
                        },
                        options={"runOnly": ["wcag2a", "wcag2aa"]},
                    )
                    .response["violations"]
                )
                assert [
                    (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
                    for each in found
                ] == []
            if number + 1 < len(LESSON):
                page.locator("#lesson .next").click()
        # the foot of the page can be reached
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        foot = page.locator("footer").last.bounding_box()
        assert foot["y"] + foot["height"] <= page.locator("#lesson .dock").bounding_box()["y"] + 1


def test_the_lesson_is_walked_by_keyboard_closed_reopened_and_linked(url, visit):
    with visit(url) as page:
        page.locator("#examples .gallery-item").nth(1).click()
        expect(page.locator("#photo img").first).to_be_visible()
        page.click("#run")
        expect(page.locator("#answer [data-finished=true]")).to_be_attached()
        page.focus("#lesson .start")
        page.keyboard.press("Enter")
        expect(page.locator("#lesson .next")).to_be_focused()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#lesson .title")).to_contain_text(LESSON[2]["title"])
        expect(page.locator("#lesson .next")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#lesson .title")).to_contain_text(LESSON[1]["title"])
        for part in (".see", ".ask", ".answer"):
            expect(page.locator(f"#lesson {part}")).to_have_attribute("aria-live", "polite")
        page.wait_for_function("location.hash.includes('lesson=2')")
        link = page.url
        page.keyboard.press("Escape")
        expect(page.locator("#lesson .dock")).to_be_hidden()
        expect(page.locator("#lesson .start")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#lesson .title")).to_contain_text(LESSON[1]["title"])  # where one was
    with visit(link) as page:
        expect(page.locator("#lesson .title")).to_contain_text(LESSON[1]["title"])
        page.wait_for_function(
            "VTE.store.state.open.join() === 'patches' && VTE.store.state.selected.length === 1"
        )


def test_hover_and_focus_tell_what_a_symbol_means_with_its_shape(url, visit, picture, tiny_model):
    with visit(url) as page:
        box = page.locator("#glossary")
        page.locator("#stage-strip [data-term='f_v']").hover()
        expect(box).to_contain_text("vision encoder")
        expect(box).not_to_contain_text("Here")  # no run, no shape
        page.mouse.move(5, 5)
        expect(box).to_be_hidden()
        ask(page, picture, QUESTION)
        page.wait_for_function("VTE.store.state.lab")
        values = page.evaluate("VTE.live()")
        for each in GLOSSARY:
            if each["symbol"] in ("L_X", "L_t", "L"):
                continue  # of a comparison with as many texts as photos
            names = re.findall(r"\{(\w+)\}", each["shape"])
            assert all(values.get(name) for name in names), each
        page.locator("#stage-strip [data-symbol='VT'] .vte-symbol .term").hover()
        expect(box).to_contain_text(f"Here: {values['V']} × {values['D']}")
        page.locator("#glossary").hover()  # the pointer can go there
        expect(box).to_be_visible()
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()
        page.focus("#view-tabs [data-view=space]")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        symbol = page.locator("#view-space .view-title .term").first
        symbol.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        expect(symbol).to_be_focused()
        expect(box).to_contain_text("visual tokens")
        assert symbol.get_attribute("aria-describedby") == "glossary"
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()
        expect(symbol).to_be_focused()
        page.locator('#stage-strip [data-symbol="X\'"] button').focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")  # a control tells all its symbols
        for name in ("patch features", "number of patches", "width of the features"):
            expect(box).to_contain_text(name)
        terms = set(
            page.evaluate("[...document.querySelectorAll('.term')].map(term => term.dataset.term)")
        )
        assert {
            "X",
            "x_p",
            "f_v",
            "X'",
            "m_γ",
            "VT",
            "TT",
            "g_φ",
            "D_d",
            "τ",
            "N",
            "V",
            "T",
            "S",
            "F",
            "D",
            "P",
        } - {"T"} <= terms
