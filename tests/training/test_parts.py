"""The files that training hands over."""

import pytest

from vlm.embedded.assembly import PARTS, read_parts
from vlm.training.__main__ import parser, without_folders
from vlm.training.commands import RUN


@pytest.mark.parametrize("name", ["vlm", "contrastive"])
def test_the_shipped_parts_say_where_they_come_from_and_nothing_of_a_machine(name):
    _, metadata = read_parts(PARTS / f"{name}.safetensors")
    assert (
        metadata["command"].startswith("python -m vlm.training ") and "/" not in metadata["command"]
    )
    assert (
        metadata["seed"].isdigit()
        and int(metadata["samples_seen"]) > 0
        and "flickr8k_1k" in metadata["data"].split()
    )
    assert "imagen_200x5" not in metadata["data"].split()


def test_the_shipped_parts_are_small():
    assert sum(path.stat().st_size for path in PARTS.glob("*.safetensors")) <= 40e6


def test_a_command_is_told_without_folders():
    assert without_folders(
        ["instruct", "--data", "/home/me/photos", "sets/own", "--sides", "4:1"]
    ) == ["instruct", "--data", "photos", "own", "--sides", "4:1"]


@pytest.mark.parametrize(
    "stage", ["features", "scenes", "contrastive", "connector", "instruct", "evaluate"]
)
def test_every_stage_has_a_command_and_its_defaults_are_the_shipped_parts(stage):
    extra = ["--stamps", "stamps"] if stage == "scenes" else []
    options = parser().parse_args([stage, "--data", "photos", *extra])
    assert stage in RUN and options.data and options.seed == 0
    if stage == "evaluate":
        assert options.parts == PARTS
    if stage in ("contrastive", "connector", "instruct"):
        assert options.out == PARTS and options.steps > 0
