"""Many visitors of one process, in small: nobody gets another's answer, and runs leave nothing
behind. `python -m tests.load` does the same at full size.
"""

import dataclasses
import gc
from collections import Counter

import pytest

import vlm
from app.page import VISITORS, build, launch_options
from app.panels import Panel
from tests.app.asking import server
from tests.load import Page, Visitor, alone, at_once, mistaken

pytestmark = pytest.mark.long


def test_eight_visitors_at_once_each_get_the_answer_they_would_get_alone(url, tiny_model, tmp_path):
    visitors = [Visitor.come(number, tmp_path) for number in range(8)]
    expected = alone(tiny_model, visitors, 6)
    asked = at_once(visitors, lambda: Page(url), 6, 120)
    assert [each.error for each in asked] == [None] * 8
    assert mistaken(asked, expected) == []
    swapped = [
        dataclasses.replace(each, words=other.words) for each, other in zip(asked, asked[::-1])
    ]
    assert len(mistaken(swapped, expected)) == 8  # another's answer would have been seen
    assert all(0 < each.first <= each.word <= each.end for each in asked)


def test_one_run_more_leaves_nothing_more_in_memory(url, tmp_path, monkeypatch):
    page, numbers = Page(url), iter(range(100, 200))

    def after(runs: int) -> Counter:
        for _ in range(runs):
            assert page.ask(Visitor.come(next(numbers), tmp_path), 3).error is None
        gc.collect()
        kinds = Counter(type(each) for each in gc.get_objects())
        return Counter(
            {
                kind: kinds[kind]
                for kind in (Panel, vlm.Trace, vlm.EncodedImage, vlm.Step, vlm.Projection)
            }
        )

    usual = server.budget.limit
    monkeypatch.setattr(server.budget, "limit", 0)
    server.budget.keep_within()  # nothing of earlier tests, whose runs weigh more
    monkeypatch.setattr(server.budget, "limit", usual)
    after(1)
    monkeypatch.setattr(server.budget, "limit", server.budget.held)
    full = after(6)
    assert full[vlm.Trace] > 0 and after(12) - full == Counter()  # every kind: no more than before
    assert server.budget.held <= server.budget.limit


def test_visitors_who_are_remembered_have_an_end():
    assert launch_options(build(server))["state_session_capacity"] == VISITORS
