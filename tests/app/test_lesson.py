"""The lesson and the glossary as data: in the article's order, about views and symbols that there
are, with no number typed.
"""

import json
import re

import pytest

from app.page import build
from app.panels import HERE
from app.sections.stages import VIEWS
from tests.app.asking import server

LESSON, GLOSSARY = (
    json.loads((HERE / f"{name}.json").read_text()) for name in ("lesson", "glossary")
)
TEXTS = [
    text
    for step in LESSON
    for words in (step, *step.get("variants", {}).values())
    for name in ("see", "ask", "answer", "missing")
    if (text := words.get(name))
]
ARTICLE = [
    "problem",
    "patches",
    "position",
    "layers",
    "contrastive",
    "connector",
    "embedding",
    "concatenation",
    "language model",
    "decoding",
    "visual token",
]


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_the_steps_follow_the_article():
    titles = [step["title"].lower() for step in LESSON]
    places = [
        next(place for place, title in enumerate(titles) if word in title and place >= number)
        for number, word in enumerate(ARTICLE)
    ]
    assert 10 <= len(LESSON) <= 12 and places == sorted(places) and places[-1] == len(LESSON) - 1


@pytest.mark.parametrize("step", LESSON, ids=lambda step: step["title"])
def test_a_step_shows_a_view_asks_and_answers_with_numbers_of_the_run(step, tiny_page):
    ids = {block.elem_id for block in build(server).blocks.values()}
    assert step.get("view") in VIEWS or step["target"].lstrip("#") in ids
    for words in (step, *(step | variant for variant in step.get("variants", {}).values())):
        assert words["ask"].endswith("?") and len(words["see"]) > 100
        assert placeholders(words["see"]) | placeholders(words["answer"]) or words is not step, (
            "no number of the visitor's run"
        )


def test_no_number_of_a_run_is_typed():
    """What is typed is the article's example and the step of a cosine.

    All else comes out of the record.
    """
    allowed = {"336", "14", "0.1", "1"}
    assert {
        number
        for text in TEXTS
        for number in re.findall(r"\d+(?:\.\d+)?", re.sub(r"\{\w+\}", "", text))
    } <= allowed
    assert not [
        number
        for each in GLOSSARY
        for number in re.findall(r"\d", each["meaning"] + re.sub(r"\{\w+\}", "", each["shape"]))
    ]
    [example] = [step["example"] for step in LESSON if "example" in step]
    assert (
        example == {"side": 336, "patch": 14} and (example["side"] // example["patch"]) ** 2 == 576
    )


def test_every_symbol_is_in_the_glossary_once_and_said_in_one_sentence():
    symbols = [each["symbol"] for each in GLOSSARY]
    assert set(symbols) == {
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
        "L_X",
        "L_t",
        "L",
        "N",
        "V",
        "T",
        "S",
        "F",
        "D",
        "P",
    } and len(symbols) == len(set(symbols))
    assert {symbol for text in TEXTS for symbol in re.findall(r"`([^`]+)`", text)} <= set(symbols)
    for each in GLOSSARY:
        assert re.fullmatch(r"[A-Z][^.]*\.", each["meaning"]) and each["name"] and each["shape"], (
            each
        )
