"""The table is whole: whatever is listed has a record, and every record says where it is from."""

import re

import pytest

from tests.published.pairs import PAIRS
from tests.published.rows import ROWS
from vlm.backends.families import FAMILIES
from vlm.hub.catalogue import LISTED, MODELS

FIELDS = ("vision", "text", "processor", "images", "tokenizer", "ends")


@pytest.mark.parametrize("listed", MODELS, ids=lambda model: model.name)
def test_every_listed_checkpoint_has_a_record(listed):
    [row] = [row for row in ROWS if row.checkpoint == listed.name]
    assert row.kind == listed.kind


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_has_a_record_of_a_checkpoint(kind):
    assert kind in {row.kind for row in ROWS}


def test_every_listed_pair_has_a_record():
    listed = {(each.name, each.pretrained) for each in LISTED}
    assert listed <= {(pair.name, pair.tag) for pair in PAIRS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.checkpoint.split("/")[1])
def test_every_record_says_where_each_of_its_settings_stands(row):
    fields = [*FIELDS, *["chat"] * bool(row.chat), *["generation"] * bool(row.generation)]
    named = " ".join(source.settings for source in row.sources)
    assert [field for field in fields if not re.search(rf"\b{field}\b", named)] == []
    assert all(source.place for source in row.sources)


def test_no_checkpoint_has_two_records():
    assert len({row.checkpoint for row in ROWS}) == len(ROWS)
    assert len({(pair.name, pair.tag) for pair in PAIRS}) == len(PAIRS)
