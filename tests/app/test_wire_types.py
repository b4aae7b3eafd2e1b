"""The types that the page's program has of what Python sends name just the fields that are sent."""

import re
from pathlib import Path

import pytest

from tests.app.asking import answers, compare, run, server

TYPES = (Path(__file__).parents[2] / "app" / "web" / "src" / "core" / "payloads.ts").read_text()


def fields(name: str) -> tuple[set[str], set[str]]:
    """The fields of an interface that are always there, and all of them."""
    [[base, body]] = re.findall(
        rf"(?ms)^export interface {name} (?:extends (\w+) )?\{{\n(.*?)^\}}", TYPES
    )
    found = re.findall(r"(?m)^  [\"']?([\w']+)[\"']?(\??):", body)
    always, every = {each for each, maybe in found if not maybe}, {each for each, _ in found}
    above = fields(base) if base else (set(), set())
    return always | above[0], every | above[1]


@pytest.fixture
def sent(tiny_page, uploaded):
    """Of every type one value that the page is sent."""
    updates = run(uploaded)
    record, plane = updates[0][:2]
    answer, words = answers(uploaded)[-1], updates[-1][3]
    at, key = record["run"], answer["key"]
    lab, _ = compare(uploaded)
    return {
        "RunRecord": record,
        "Photo": record["photos"][0],
        "Picture": record["pictures"][0],
        "Stage": record["stages"][0],
        "Vectors": record["numbers"]["VT"],
        "Colours": record["connector"]["after"],
        "Asked": record["asked"],
        "Plane": plane,
        "Answer": answer,
        "Step": answer["steps"][0],
        "Glances": answer["looked"],
        "Words": words,
        "LayerColours": server.layer([at, 1]),
        "Rows": server.rows([at, 3, 1]),
        "WordAttention": server.word([key, 0]),
        "Lenses": server.lens([at, 3]),
        "LensRows": server.lens_rows([at, 0]),
        "WordMaps": server.word_maps([at, "a"]),
        "Looked": server.looked([key, 0, 1]),
        "Relevancy": server.relevancy([key, 0]),
        "Ablation": server.ablation([key, 0, [1, 2]]),
        "Lab": lab,
        "Cell": server.cell([lab["key"], 0, 0]),
        "Ledger": server.ledger(640, 480),
    }


def test_a_type_names_what_is_sent(sent):
    for name, value in sent.items():
        always, every = fields(name)
        assert always <= set(value) <= every, (name, set(value) ^ every)


def test_a_field_that_is_missing_or_made_up_is_seen():
    always, every = fields("RunRecord")
    assert {"photo", "boxes", "numbers"} <= always and "instant" in every - always
