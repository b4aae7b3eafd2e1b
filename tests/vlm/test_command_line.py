"""`python -m vlm ask`: the stage table and the answer on standard output, one sentence on standard
error when the input cannot be used.
"""

import pytest

import vlm
from vlm.cli.commands import main

QUESTION = "What is in this image?"


@pytest.fixture
def photo_file(tmp_path, wide_photo):
    path = tmp_path / "photo.png"
    wide_photo.save(path)
    return str(path)


def test_it_prints_every_stage_and_the_answer_of_the_library(
    checkpoints, tiny_model, photo_file, capsys
):
    assert (
        main(
            [
                "ask",
                photo_file,
                QUESTION,
                "--model",
                str(checkpoints("clip")),
                "--max-new-tokens",
                "5",
            ]
        )
        == 0
    )
    trace = tiny_model.trace(vlm.open_image(photo_file), QUESTION, vlm.Decoding(max_new_tokens=5))
    output = capsys.readouterr().out
    for stage in trace.stages:
        assert " x ".join(f"{size:,}" for size in stage.shape) in output
    assert [line.split("  ")[0] for line in output.splitlines()[:5]] == [
        stage.symbol for stage in trace.stages[:5]
    ]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["missing.jpg", QUESTION], "missing.jpg"),
        (["PHOTO", "  "], "question is empty"),
        (["PHOTO", QUESTION, "--temperature", "9"], "temperature is 9.0"),
        (["PHOTO", QUESTION, "--model", "nowhere"], "no model 'nowhere'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    arguments, words, checkpoints, photo_file, capsys
):
    arguments = [photo_file if argument == "PHOTO" else argument for argument in arguments]
    if "--model" not in arguments:
        arguments += ["--model", str(checkpoints("clip"))]
    assert main(["ask", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and len(captured.err.strip().splitlines()) == 1


def test_fetch_brings_both_embedded_models_ahead_of_time(monkeypatch, capsys):
    brought = []
    monkeypatch.setattr(vlm, "load", lambda name, progress: brought.append(("load", name)))
    monkeypatch.setattr(
        vlm, "load_contrastive", lambda name, progress: brought.append(("load_contrastive", name))
    )
    assert main(["fetch"]) == 0
    assert brought == [("load", "embedded"), ("load_contrastive", "embedded")]
    assert capsys.readouterr().out.count("\n") == 1
