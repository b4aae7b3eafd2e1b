"""One selection in every view, in a real browser on a tiny model."""

import math

import pytest

from tests.app.browsing import (
    ask,
    expect,
    expect_selected,
    meet_a_dot,
    open_view,
    place,
    press_patch,
)


def point_of(page, token: int) -> tuple[float, float]:
    """Where a token's dot is in the window, by Plotly's own axes."""
    expect(page.locator("#view-space [data-axes]")).to_be_attached()
    page.locator("#view-space .plot").scroll_into_view_if_needed()
    return page.evaluate(
        """token => {
          const plot = document.querySelector('#view-space .plot');
          const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
          const { points } = VTE.store.state.plane;
          return [
            box.left + xaxis._offset + xaxis.d2p(points[2 * token]),
            box.top + yaxis._offset + yaxis.d2p(points[2 * token + 1]),
          ];
        }""",
        token,
    )


def freest(page) -> int:
    """The visual token whose dot has no other near it."""
    return page.evaluate(
        """() => {
          const { points } = VTE.store.state.plane, all = points.length / 2;
          const count = VTE.store.state.record.positions.length;
          const between = (i, j) => Math.hypot(
            points[2 * i] - points[2 * j], points[2 * i + 1] - points[2 * j + 1]);
          const distance = i => Math.min(
            ...Array.from({ length: all }, (_, j) => i === j ? 1e9 : between(i, j)));
          return Array.from({ length: count }, (_, i) => i)
            .reduce((best, i) => (distance(i) > distance(best) ? i : best), 0);
        }"""
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


@pytest.mark.parametrize(
    "way",
    [pytest.param(by_photo, marks=pytest.mark.always), by_map, by_dot, by_sequence, by_keyboard],
)
def test_a_token_selected_anywhere_is_lit_in_every_view(url, visit, picture, way):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        token = way(page)
        page.mouse.move(2, 2)
        expect_selected(page, token)
        expect(page.locator("#inspector [data-token]")).to_have_attribute("data-token", str(token))
        for name in (
            "photo",
            "patches",
            "positions",
            "encoder",
            "connector",
            "space",
            "sequence",
            "lens",
        ):
            open_view(page, name)
            expect_selected(page, token)
        expect(page.locator("#view-space [data-selected]")).to_have_attribute(
            "data-selected", str(token)
        )


def test_shift_adds_a_box_selects_and_escape_clears(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        press_patch(page, 6)
        press_patch(page, 12, modifiers=["Shift"])
        expect_selected(page, 6, 12)
        overlay = page.locator("#received .overlay").bounding_box()
        page.mouse.move(overlay["x"] + 2, overlay["y"] + 2)
        page.mouse.down()
        page.mouse.move(
            overlay["x"] + overlay["width"] * 0.48, overlay["y"] + overlay["height"] * 0.48, steps=4
        )
        page.mouse.up()
        expect_selected(page, 0, 1, 4, 5)
        page.focus("#received .overlay")
        page.keyboard.press("Escape")
        expect_selected(page)


def test_a_hovered_word_is_told_in_the_sequence_and_a_hovered_patch_in_the_inspector(
    url, visit, picture
):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        open_view(page, "sequence")
        page.locator("#view-sequence .word.question").first.hover()
        expect(page.locator("#view-sequence .told")).to_contain_text("part of the question")
        page.locator("#received .overlay").hover(position=place(page, 7))
        expect(page.locator("#inspector [data-token]")).to_have_attribute("data-token", "7")
        expect(page.locator("#received .where")).to_contain_text("patch 7 · row 1, column 3")


def test_the_program_may_come_after_the_panels(url, visit, picture):
    """Gradio does not wait for it: what is asked of it meanwhile waits."""
    waiting = []
    with visit(url) as page:
        # the browser has it already, and would not ask
        page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
        page.route("**/dist/page-*.js", lambda route: waiting.append(route))
        page.reload(wait_until="commit")
        page.wait_for_function("window.VTE && VTE.waiting && VTE.waiting.length > 20")
        page.wait_for_function("document.querySelector('#stage-strip .strip')")
        waiting[0].continue_()
        ask(page, picture, "What is in this image?")
        page.locator("#received .overlay").hover(position=place(page, 7))
        expect(page.locator("#inspector [data-token]")).to_have_attribute("data-token", "7")


def test_the_plot_is_alive_before_plotly_comes_and_its_dots_hardly_move_then(url, visit, picture):
    waiting = []
    with visit(url) as page:
        page.route("**/plotly.min.js", lambda route: waiting.append(route))
        ask(page, picture, "What is in this image?")
        token, x, y = meet_a_dot(page, "#view-space .dots")  # 12 pixels are near enough
        expect(page.locator("#inspector [data-token]")).to_have_attribute("data-token", str(token))
        page.mouse.down()
        page.mouse.up()
        expect_selected(page, token)
        assert page.evaluate("window.Plotly === undefined")
        open_view(page, "encoder")  # it comes while another view is open
        waiting[0].continue_()
        page.wait_for_function("Boolean(window.Plotly)")
        open_view(page, "space")
        page.wait_for_function(
            "(({ _fullLayout: axes, clientWidth }) => axes && Math.abs(axes.width - clientWidth) <"
            " 1)(document.querySelector('#view-space .plot'))"
        )
        assert math.dist(point_of(page, token), (x, y)) < 24


def test_the_lasso_selects_what_lies_inside_and_leaves_text_tokens_out(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        expect(page.locator("#view-space [data-axes]")).to_be_attached()
        page.evaluate(
            "Plotly.relayout(document.querySelector('#view-space .plot'), { dragmode: 'lasso' })"
        )
        plot = page.locator("#view-space .plot")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        left, top, right, bottom = (
            box["x"] + 48,
            box["y"] + 8,
            box["x"] + box["width"] - 14,
            box["y"] + box["height"] - 42,
        )
        page.mouse.move(left, top)
        page.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 4)):
            page.mouse.move(x, y, steps=6)
        page.mouse.up()
        expect_selected(page, *range(16))


def test_another_projection_keeps_the_selection(url, visit, picture):
    with visit(url) as page:
        ask(page, picture, "What else is there?")
        press_patch(page, 11)
        expect_selected(page, 11)
        page.get_by_text("Token space: projection").click()
        page.locator("#method").get_by_text("t-SNE").click()
        expect(page.locator("#view-space .caption")).to_contain_text(
            "t-SNE keeps neighbours together"
        )
        expect_selected(page, 11)


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
