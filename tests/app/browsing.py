"""What a visitor does with the page in a browser, and what the page then shows."""

import re

from playwright.sync_api import expect

expect.set_options(timeout=20_000)  # on a machine that does other things too


def ask(page, path, question: str) -> None:
    """Upload, type, press Enter; wait for the end of the answer and for what comes after it."""
    page.wait_for_function("window.VTE && VTE.store")
    # its photo makes room
    if page.evaluate("Boolean(VTE.store.state.record && VTE.store.state.record.instant)"):
        page.locator(
            "#photo [aria-label='Clear'], #photo [aria-label='Remove Image']"
        ).first.click()
    page.set_input_files("#photo input[type=file]", path)
    expect(page.locator("#photo img").first).to_be_visible()
    page.fill("#question textarea", question)
    page.press("#question textarea", "Enter")
    expect(page.locator("#answer [data-finished=true]")).to_be_attached()
    page.wait_for_function(
        "question => { const { record, words } = VTE.store.state; return record && record.question"
        " === question && words; }",
        arg=question.strip(),
    )


def type_model(page, selector: str, name: str) -> None:
    """Type a name into a list of models.

    Gradio may draw a list anew while it is typed in, and what was typed is gone: it is typed again.
    """
    box = page.locator(f"{selector} input")
    for _ in range(5):
        box.fill(name)
        box.press("Tab")
        if box.input_value().startswith(name):  # what the list knows is "NAME (here)"
            break
    expect(box).to_have_value(re.compile(f"^{re.escape(name)}"))


def open_view(page, name: str, beside: bool = False) -> None:
    page.locator(f"#view-tabs [data-view={name}]").click(modifiers=["Shift"] if beside else [])
    expect(page.locator(f"#view-{name}")).to_be_visible()
    expect(page.locator(f"#view-{name} [data-drawn]")).to_be_attached()


def place(page, token: int, selector: str = "#received .overlay") -> dict:
    """The middle of a token's first cell in a picture of the whole board, within the element."""
    rows, columns, cell = page.evaluate(
        "token => { const { rows, columns, token_cells } = VTE.store.state.record; return [rows,"
        " columns, token_cells[token_cells.shape[1] * token]]; }",
        token,
    )
    box = page.locator(selector).bounding_box()
    return {
        "x": (cell % columns + 0.5) * box["width"] / columns,
        "y": (cell // columns + 0.5) * box["height"] / rows,
    }


def meet_a_dot(page, selector: str) -> tuple[int, float, float]:
    """Move over a plot until a visual token lies under the pointer.

    Gives that token, and where the pointer is.
    """
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    for at in range(1, 400):
        x, y = box["x"] + box["width"] * (at % 20) / 20, box["y"] + box["height"] * (at // 20) / 20
        page.mouse.move(x, y)
        hovered = page.evaluate(
            "new Promise(done => requestAnimationFrame(() => done(VTE.store.state.hovered)))"
        )
        if hovered >= 0:
            return hovered, x, y
    raise AssertionError(f"no dot in {selector}")


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
            expect(
                page.locator(f"#view-{name} .map:not([hidden]) .map-marks")
                .nth(index)
                .locator(".mark:not(.hover)")
            ).to_have_count(len(tokens))
