"""Instant examples: what is shipped belongs to the model it is shown for, and is what that model
computes.
"""

import gzip
import json

import gradio as gr
import numpy as np
import pytest

from app import build_examples, examples, models
from app.page import build
from app.run_request import PLANE, SETTINGS
from app.settings import Settings
from app.uploads import EXAMPLES
from app.wire import packed, unpacked
from tests.app.asking import LAYOUT, server

SHIPPED = json.loads((examples.FOLDER / examples.INDEX).read_text())
# of the largest number of an array: what another machine's arithmetic may make of float32
CLOSE = 1e-3
STEPS = 3  # of 255: what it may make of a colour


def read(file: str) -> dict:
    return json.loads(gzip.decompress((server.precomputed.folder / file).read_bytes()))


def test_there_are_six_examples_of_at_most_600_kb_each():
    assert len(SHIPPED["runs"]) >= 6
    assert [(run["photo"], run["question"]) for run in SHIPPED["runs"]] == list(examples.QUESTIONS)
    for run in SHIPPED["runs"]:
        assert (examples.FOLDER / run["file"]).stat().st_size <= 600_000, run
        assert (EXAMPLES / run["photo"]).is_file()


def test_every_file_says_which_weights_and_versions_made_it():
    for run in SHIPPED["runs"]:
        kept = read(run["file"])
        assert kept["made"] == {name: value for name, value in SHIPPED.items() if name != "runs"}
        assert (kept["record"]["run"], kept["answer"]["key"]) == (run["run"], run["answer"])
    assert {"torch", "transformers"} <= set(SHIPPED["versions"]) and len(SHIPPED["weights"]) == 64


def test_what_other_weights_made_is_not_shown(monkeypatch):
    monkeypatch.setattr(server.precomputed, "weights", lambda: SHIPPED["weights"])
    assert len(server.precomputed.runs()) == len(SHIPPED["runs"]) and server.precomputed.find(
        SHIPPED["runs"][0]["answer"]
    )
    monkeypatch.setattr(server.precomputed, "weights", lambda: "0" * 64)
    assert (
        server.precomputed.runs() == ()
        and server.precomputed.find(SHIPPED["runs"][0]["answer"]) is None
    )
    assert server.at_once((0, []), server.models.first) == (gr.skip(),) * 2
    monkeypatch.setattr(examples, "FORMAT", examples.FORMAT + 1)
    monkeypatch.setattr(server.precomputed, "weights", lambda: SHIPPED["weights"])
    assert server.precomputed.runs() == ()


def test_another_first_model_than_the_embedded_one_has_no_examples():
    assert examples.Precomputed(Settings()).runs()
    other = examples.Precomputed(Settings(model="somebody/else"))
    assert other.weights() is None and other.runs() == ()


def test_a_photo_clicked_with_another_model_in_use_is_only_a_photo(monkeypatch):
    monkeypatch.setattr(server.precomputed, "weights", lambda: SHIPPED["weights"])
    question, instant = server.at_once((1, []), server.models.first)
    assert (instant["photo"], question) == examples.QUESTIONS[1]
    assert server.at_once((1, []), models.Choice("somebody/else")) == (gr.skip(),) * 2


def test_the_examples_were_asked_with_what_the_controls_begin_with(tiny_page):
    labels = (
        ("method", "dimensions", "seed", "neighbours", "distance"),
        (
            "temperature",
            "top-k",
            "top-p (nucleus)",
            "repetition penalty",
            "seed",
            "longest answer",
        ),
    )
    blocks = [block for block in build(server).blocks.values() if getattr(block, "label", None)]
    values = [
        [next(block.value for block in part if block.label == label) for label in names]
        for part, names in zip((blocks[::-1], blocks), labels)
    ]
    assert tuple(values[0]) == examples.LAYOUT == LAYOUT and tuple(values[1]) == examples.SETTINGS
    # greedy: it can be computed anew
    assert {label: value for label, value in zip(labels[1], values[1])}["temperature"] == 0


def test_shortened_numbers_are_off_by_their_last_bit_at_most():
    numbers = np.random.default_rng(0).normal(size=1000).astype(np.float32) ** 3
    short = unpacked(build_examples.shortened({"deep": [packed(numbers)]})["deep"][0])
    assert (abs(short - numbers) <= build_examples.ROUNDING * abs(numbers)).all() and (
        short != numbers
    ).any()
    assert not (short.view(np.uint32) & 0xFFFF).any()


def forget() -> None:
    """What a server knows after a start: nothing."""
    server.runs.clear()
    server.contrasts.clear()


@pytest.fixture
def forgetful():
    forget()
    yield
    forget()


@pytest.fixture
def tiny_examples(tiny_page, forgetful, tmp_path, monkeypatch):
    """Examples that the tiny model made."""
    monkeypatch.setattr(server.precomputed, "folder", tmp_path)
    build_examples.build(server, examples.QUESTIONS[:2], report=lambda line: None)
    return [examples.PrecomputedRun(**run) for run in server.precomputed.index()["runs"]]


def test_whatever_is_asked_about_a_shipped_run_is_computed_anew(tiny_examples, tiny_model):
    """After the server forgot it, as after a start, every reply is the one that was kept, and what
    was not kept comes too.
    """
    forget()
    first, _ = tiny_examples
    kept = read(first.file)
    for name, asked, reply in kept["replies"]:
        if name in ("layer", "word"):
            fresh = (
                build_examples.shortened(getattr(server, name)(list(asked)))
                if name == "word"
                else server.layer(list(asked))
            )
            assert {**fresh, "mean": None} == {**reply, "mean": None}, name
    assert "cosine" in server.rows([first.run, 3, 2]) and "layers" in server.lens([first.run, 3])
    assert server.tensors([first.answer])["data"]
    run = server.runs.open_answer(first.answer)
    assert run.trace.answer == kept["answer"]["answer"] and run.operator.temperature == 0
    assert "no longer kept" in server.layer([first.run + "0", 0])["error"]


def test_a_link_to_a_shipped_run_needs_no_run(tiny_examples):
    from tests.app.test_take_home import LINK

    photo, question = examples.QUESTIONS[0]
    settings = dict(zip(SETTINGS, examples.SETTINGS)) | dict(zip(PLANE, examples.LAYOUT))
    link = "#" + "&".join(
        f"{name}={value}"
        for name, value in {
            "example": photo,
            "question": question.replace(" ", "+"),
            **settings,
        }.items()
    )
    assert server.restore(link)[-1]["instant"] == {"photo": photo}
    assert "instant" not in server.restore(link.replace("seed=0", "seed=1", 1))[-1]
    assert "instant" not in server.restore(LINK)[-1]


def compared(then, now, path="") -> None:
    """The same structure and the same words.

    Numbers within `CLOSE` of the largest, colours within `STEPS`, whole numbers of an order mostly
    the same.
    """
    assert type(then) is type(now) or (
        isinstance(then, (int, float)) and isinstance(now, (int, float))
    ), path
    if isinstance(then, dict) and "data" in then:
        old, new = unpacked(then).astype(float), unpacked(now).astype(float)
        assert old.shape == new.shape, path
        if then["type"] == "f4":
            # both are rounded: neighbours lie a whole step apart
            bound = CLOSE * np.nanmax(abs(old), initial=0) + 2 * build_examples.ROUNDING * abs(old)
            assert (np.isnan(old) == np.isnan(new)).all() and (
                np.nan_to_num(abs(old - new)) <= np.nan_to_num(bound) + 1e-6
            ).all(), path
        elif path.endswith("rgb"):
            assert (abs(old - new) <= STEPS).mean() >= 0.99, path
        else:
            assert (old == new).mean() >= 0.98, path
    elif isinstance(then, dict):
        assert set(then) == set(now), path
        for name in then:
            # times; what hangs on the order of near equals
            if name not in ("ms", "groups", "ids", "words"):
                compared(then[name], now[name], f"{path}.{name}")
    elif isinstance(then, list):
        assert len(then) == len(now), path
        for number, (old, new) in enumerate(zip(then, now)):
            compared(old, new, f"{path}[{number}]")
    elif isinstance(then, (int, float)) and not isinstance(then, bool):
        assert abs(then - now) <= CLOSE * max(1, abs(then)), path
    else:
        # pictures, as this machine's JPEG writes them
        assert then == now or path.endswith(("photo", "received")) or ".photos[" in path, path


@pytest.mark.long
def test_the_embedded_model_computes_the_first_example_again(
    embedded_model, forgetful, monkeypatch
):
    monkeypatch.setattr(
        server.models, "language", models.Background("language", lambda progress: embedded_model)
    )
    assert examples.sha256_of(examples.PARTS) == SHIPPED["weights"], (
        "the parts have changed: run `python -m app.build_examples`"
    )
    kept = read(SHIPPED["runs"][0]["file"])
    fresh = json.loads(
        json.dumps(
            build_examples.told(
                server, str(EXAMPLES / SHIPPED["runs"][0]["photo"]), SHIPPED["runs"][0]["question"]
            )
        )
    )
    assert [step["string"] for step in fresh["answer"]["steps"]] == [
        step["string"] for step in kept["answer"]["steps"]
    ]
    assert fresh["record"]["text"]["strings"] == kept["record"]["text"]["strings"]
    compared({name: kept[name] for name in fresh}, fresh)
    near = (
        [[word for word, _ in row[:1]] for row in kept["words"]["words"]],
        [[word for word, _ in row[:1]] for row in fresh["words"]["words"]],
    )
    assert np.mean([old == new for old, new in zip(*near)]) >= 0.98


def test_the_lab_and_the_ledger_begin_with_what_they_compute(
    embedded_contrast, forgetful, monkeypatch
):
    monkeypatch.setattr(
        server.models,
        "contrastive",
        models.Background("contrastive", lambda progress: embedded_contrast),
    )
    kept = json.loads(gzip.decompress((examples.FOLDER / examples.OPENING).read_bytes()))
    assert kept["weights"] == examples.sha256_of(examples.CONTRASTIVE_PARTS), (
        "the parts have changed: run `python -m app.build_examples`"
    )
    key = kept["similarity"]["key"]
    monkeypatch.setattr(server.precomputed, "opening", kept)
    # computed anew for who asks further
    assert server.contrasts.known(("comparison", key)) is None and "error" not in server.cell(
        [key, 1, 1]
    )
    assert "no longer kept" in server.cell(["0" * 32, 1, 1])["error"]
    compared(kept, json.loads(json.dumps(build_examples.opening(server))))


def test_what_other_contrastive_weights_made_is_not_shown(monkeypatch):
    assert examples.Precomputed(Settings()).opening
    assert examples.Precomputed(Settings(contrastive="ViT-B-32/openai")).opening == {}
    monkeypatch.setattr(examples, "sha256_of", lambda path: "0" * 64)
    assert examples.Precomputed(Settings()).opening == {}
