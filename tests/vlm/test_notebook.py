"""What a notebook shows of a trace."""

import dataclasses
from html.parser import HTMLParser

import vlm
from tests.tiny import photo

NASTY = '<img src=x onerror="alert(1)"> & </p>'


class Reader(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.attributes, self.text = [], set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


def test_it_shows_photo_question_stages_and_answer(tiny_model):
    trace = tiny_model.trace(photo(900, 1500), "What is it?", vlm.Decoding(max_new_tokens=4))
    shown = trace._repr_html_()
    read = Reader(shown)
    assert (
        trace.question in read.text
        and trace.answer in read.text
        and read.elements.count("img") == 1
    )
    assert all(
        " × ".join(f"{size:,}" for size in stage.shape) in read.text for stage in trace.stages
    )
    assert read.elements.count("span") == len(trace.steps)
    assert len(shown) < 30_000


def test_before_its_answer_it_says_so(tiny_model, wide_photo):
    assert "not answered yet" in tiny_model.encode(wide_photo, "What is it?")._repr_html_()


def test_what_looks_like_code_is_text(tiny_model, wide_photo):
    trace = tiny_model.trace(wide_photo, "What is it?", vlm.Decoding(max_new_tokens=2))
    steps = tuple(
        dataclasses.replace(step, token_string=NASTY, answer=NASTY) for step in trace.steps
    )
    read = Reader(dataclasses.replace(trace, question=NASTY, steps=steps)._repr_html_())
    assert read.elements.count("img") == 1 and "onerror" not in read.attributes
    assert read.text.count(NASTY) == 2 + len(steps)
