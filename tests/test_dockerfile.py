"""The Dockerfile's promises, read from its text: it is not built here."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines()
    if line.strip()
]
KNOWN = {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


def where(name: str, start: str = "") -> list[int]:
    return [
        place
        for place, (instruction, rest) in enumerate(INSTRUCTIONS)
        if instruction == name and rest.startswith(start)
    ]


def test_every_line_is_an_instruction():
    assert {instruction for instruction, _ in INSTRUCTIONS} <= KNOWN


def test_the_base_image_is_pinned_to_a_release():
    [place] = where("FROM")
    assert place == 0 and re.fullmatch(r"python:3\.12\.\d+-slim-\w+", INSTRUCTIONS[0][1])


def test_nobody_runs_as_root_and_the_program_cannot_be_changed():
    [user] = where("USER")
    assert (
        INSTRUCTIONS[user][1] not in ("root", "0")
        and f"useradd --create-home --uid 1000 {INSTRUCTIONS[user][1]}" in TEXT
    )
    assert where("COPY", ".")[0] < user < where("CMD")[0]
    assert "--chown" not in TEXT and "chmod" not in TEXT


def test_the_weights_are_baked_in_by_whoever_will_run_it():
    [fetch] = where("RUN", "python -m vlm fetch")
    assert where("USER")[0] < fetch


def test_the_page_can_be_reached_and_is_watched():
    assert "GRADIO_SERVER_NAME=0.0.0.0" in TEXT and where("EXPOSE", "7860")
    for place in (where("HEALTHCHECK")[0], where("CMD")[0]):
        assert json.loads(re.search(r"\[.*\]", INSTRUCTIONS[place][1])[0])[0] == "python"


@pytest.mark.parametrize("secret", ["TOKEN", "SECRET", "PASSWORD", "API_KEY", "hf_"])
def test_no_secret_is_in_the_image(secret):
    assert secret not in TEXT
    assert not list(ROOT.glob(".env*"))


def test_what_the_image_does_not_need_is_left_out():
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", "tests", "**/__pycache__"} <= set(left_out)
    assert not {"app", "vlm", "assets", "app.py", "requirements.txt"} & set(left_out)
