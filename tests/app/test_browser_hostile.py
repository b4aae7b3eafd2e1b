"""What looks like code, wherever a visitor, a file, a link or a model puts it, is shown as text and
never runs.
"""

import csv
import dataclasses
from urllib.parse import urlencode

import pytest

from app import models
from tests.app.asking import server
from tests.app.browsing import ask, expect, open_view, press_patch
from tests.app.test_browser_take_home import take
from tests.tiny import photo

CODE = (
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=2</script>",
    "<svg onload=window.hacked=3>",
    "${window.hacked=4}",
    "{{constructor.constructor('window.hacked=5')()}}",
    "<a href='javascript:window.hacked=6'>a</a>",
    "</textarea><script>window.hacked=7</script>",
    "<iframe srcdoc='<script>parent.hacked=8</script>'>",
    "<b onmouseover=window.hacked=9>b</b>",
    "<img src=http://192.0.2.1/x.png>",
    "<style>body{display:none}</style>",
    "`${window.hacked=10}`",
    "'\"><img src=x onerror=window.hacked=11>",
    "\u202e<img src=x onerror=window.hacked=12>",
)
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    '=HYPERLINK("http://192.0.2.1")',
    " =1+1",
    "=cmd|' /C calc'!A0",
    "\n=1+1",
)
ALL = " ".join(CODE)


def untouched(page) -> None:
    """Nothing ran, the page is still there, and nothing of it became an element."""
    assert page.evaluate("window.hacked") is None
    assert (
        page.evaluate(
            "document.querySelectorAll('img[src=x], [onerror], [onload], iframe,"
            ' a[href^="javascript"], [onmouseover]\').length'
        )
        == 0
    )
    expect(page.locator("#run")).to_be_visible()


@pytest.fixture
def nasty_name(tmp_path):
    """A photo whose name is code, as far as a file can be called so, and a file of that name that
    is none.
    """
    good, bad = (
        tmp_path / f"{kind}<img src=x onerror=window.hacked=1>${{window.hacked=2}}.png"
        for kind in ("good", "bad")
    )
    photo(60, 80).save(good)
    bad.write_bytes(b"no image")
    return good, bad


def test_what_a_refusal_quotes_is_read_as_it_was_typed(url, visit, nasty_name):
    with visit(url) as page:
        page.set_input_files("#photo input[type=file]", nasty_name[0])
        expect(page.locator("#photo img").first).to_be_visible()
        page.fill("#question textarea", "What is <image> here?")
        page.click("#run")
        expect(page.locator(".toast-body").first).to_contain_text("The question holds '<image>'")
        untouched(page)


def test_names_of_files_and_of_models_are_read_as_they_are(url, visit, nasty_name):
    with visit(url) as page:
        page.set_input_files("#photo input[type=file]", nasty_name[1])
        page.fill("#question textarea", "What is it?")
        page.click("#run")
        expect(page.locator(".toast-body").first).to_contain_text(
            "is not an image this page can read"
        )
        untouched(page)
        page.get_by_text("Two models side by side").scroll_into_view_if_needed()
        for code in CODE[:1] + CODE[9:10]:
            page.fill("#second-model input", code)
            page.keyboard.press("Enter")
            page.click("#run-beside")
            expect(page.locator(".toast-body").filter(has_text=code[:20]).first).to_be_visible()
        untouched(page)


def test_whatever_is_typed_anywhere_is_text(url, visit, nasty_name):
    with visit(url) as page:
        page.fill("#texts textarea", "\n".join(CODE))
        ask(page, nasty_name[0], ALL)
        expect(page.locator("#similarity [data-ready]:not([data-ready=''])")).to_be_attached()
        for code in CODE[:5]:
            expect(
                page.locator("#similarity th").get_by_text(code, exact=True).first
            ).to_be_visible()
        press_patch(page, 3)
        for name in ("photo", "encoder", "sequence", "lens", "looked", "space"):
            open_view(page, name)
        # the first run is in the list of earlier ones now
        ask(page, nasty_name[0], "And this? " + CODE[0])
        expect(page.locator("#history .run").filter(has_text=CODE[0]).first).to_be_visible()
        untouched(page)


class Speaking:
    """A model that says what it is given to say, in every view."""

    def __init__(self, model, words) -> None:
        self.model, self.words = model, words

    def __getattr__(self, name):
        return getattr(self.model, name)

    @property
    def name(self) -> str:
        return CODE[0]

    def decode(self, *arguments):
        for step in self.model.decode(*arguments):
            said = self.words[step.index % len(self.words)]
            alternatives = tuple(
                dataclasses.replace(each, token_string=self.words[number % len(self.words)])
                for number, each in enumerate(step.alternatives)
            )
            yield dataclasses.replace(
                step,
                token_string=said,
                answer=" ".join(self.words[: step.index + 1]),
                alternatives=alternatives,
            )

    def inspect(self, trace, **held):
        look = self.model.inspect(trace, **held)
        look.model = self

        def read(rows: int, count: int, share: float):
            return tuple(
                tuple((self.words[(row + each) % len(self.words)], share) for each in range(count))
                for row in range(rows)
            )

        look.embedding_lens = lambda tokens=None, count=5: read(
            len(trace.visual_tokens.embeddings if tokens is None else tokens), count, 0.5
        )
        look.logit_lens = lambda token, count=5: read(len(look.hidden_states()), count, 0.1)
        return look

    def token_string(self, token_id: int) -> str:
        return self.words[token_id % len(self.words)]


@pytest.fixture
def speaking(tiny_model, monkeypatch):
    def says(words):
        monkeypatch.setattr(
            server.models,
            "language",
            models.Background("language", lambda progress: Speaking(tiny_model, words)),
        )

    return says


def test_whatever_a_model_says_is_text_on_the_page_and_in_the_page_that_is_taken_home(
    url, visit, picture, tmp_path, speaking
):
    speaking(CODE)
    with visit(url) as page:
        ask(page, picture, "What is it?")
        press_patch(page, 3)
        expect(page.locator("#answer .text")).to_contain_text(CODE[1])
        expect(page.locator("#inspector .near")).to_contain_text("window.hacked")
        for name in ("space", "sequence", "lens", "looked"):
            open_view(page, name)
            page.hover("#received .overlay", position={"x": 20, "y": 20})
        open_view(page, "space")
        page.locator("#view-space .colour").select_option("word")
        expect(page.locator("#view-space .key")).to_contain_text("window.hacked")
        untouched(page)
        page.get_by_text("Take home: this run").click()
        page.fill("#take-home textarea", ALL)
        kept = take(page, "page", tmp_path)
        untouched(page)
    with visit(kept.as_uri()) as page:
        expect(page.locator("html[data-ready=true]")).to_be_attached()
        expect(page.locator("#notes")).to_contain_text(CODE[1])
        expect(page.locator("#answer .text")).to_contain_text(CODE[1])
        page.locator("#answer .token").nth(1).click()
        page.hover("#received .overlay", position={"x": 20, "y": 20})
        assert page.evaluate("window.hacked") is None
        assert (
            page.evaluate(
                "document.querySelectorAll('img[src=x], [onerror], [onload], iframe').length"
            )
            == 0
        )


def test_no_cell_of_the_table_is_a_formula(url, visit, picture, tmp_path, speaking):
    speaking((*FORMULAS, "\uff1d1+1", 'a,"b"\n=1+1'))
    with visit(url) as page:
        ask(page, picture, "=1+1")
        table = take(page, "table", tmp_path)
        said = page.evaluate("VTE.store.state.answer.steps.map(step => step.string)")
    assert table.name.startswith("1-1")
    with table.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert [row[1].removeprefix("'") for row in rows] == said and all(
        len(row) == len(head) for row in rows
    )
    words = [cell for row in rows for cell in row[1:2] + row[6::3]]
    assert len(words) > 20 and not [
        cell
        for cell in words
        if cell.lstrip()[:1] in ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
        or cell[:1] in "\t\r\n"
    ]


SETTINGS = {
    "temperature": 0,
    "top_k": 0,
    "top_p": 1,
    "repetition_penalty": 1,
    "seed": 0,
    "max_new_tokens": 4,
    "method": "pca",
    "dimensions": 2,
    "projection_seed": 0,
    "neighbours": 15,
    "metric": "cosine",
}
GOOD = {"example": "chelsea.jpg", "question": "What is this?", **SETTINGS}


def test_a_link_of_a_stranger_runs_nothing(url, visit, configure):
    """Nor does it bring a model: of what is not in memory the name is told, as text."""
    configure(hub="1")
    with visit(f"{url}#{urlencode(GOOD | {'model': CODE[0]})}") as page:
        expect(page.locator(".toast-body").first).to_contain_text(CODE[0])
        untouched(page)
    links = [
        GOOD
        | {
            "question": ALL,
            "selected": f"{'9' * 400} -1 3",
            "open": f"{CODE[0]} __proto__ constructor",
            "layer": "9" * 300,
        },
        GOOD | {"question": CODE[0], "seed": "1e999", "__proto__": CODE[0]},
    ]
    for link, taken in zip(links, (True, False), strict=True):
        with visit(f"{url}#{urlencode(link)}") as page:
            if taken:
                expect(page.locator("#answer [data-finished=true]")).to_be_attached()
                page.wait_for_function("VTE.store.state.selected.join() === '3'")
                expect(page.locator("#question textarea")).to_have_value(ALL)
            else:
                expect(
                    page.locator(
                        "#status[data-ready*=language], #status [data-ready*=language]"
                    ).first
                ).to_be_attached()
                expect(page.locator("#question textarea")).not_to_have_value(CODE[0])
            untouched(page)
