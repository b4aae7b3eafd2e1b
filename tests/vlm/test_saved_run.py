"""A run that was saved is repeated to the last bit; what was changed in between is said."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import vlm
from tests.tiny import photo
from vlm.cli.commands import main

SAMPLING = vlm.Decoding(max_new_tokens=5, temperature=1.0, seed=3)


@pytest.fixture
def saved(tiny_model, wide_photo, tmp_path):
    """The folder of a run that was sampled."""
    trace = tiny_model.trace(wide_photo, "What is it?", SAMPLING)
    assert (
        vlm.save_run(trace, tmp_path / "run", tiny_model, SAMPLING) == tmp_path / "run" / "run.json"
    )
    return tmp_path / "run", trace


def change(folder, **values) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_tensors_are_the_traces_own(saved):
    folder, trace = saved
    tensors = load_file(folder / "run.safetensors")
    assert set(tensors) == {"x_p", "X'", "VT", "TT", "VT + TT", "log_probabilities"}
    assert np.array_equal(tensors["VT + TT"], trace.inputs_embeds) and np.array_equal(
        tensors["x_p"], trace.patches.pixels
    )
    assert np.allclose(tensors["log_probabilities"], [step.log_probability for step in trace.steps])


def test_everything_needed_to_repeat_it_is_told(saved, tiny_model):
    folder, trace = saved
    run = json.loads((folder / "run.json").read_text())
    assert (
        run["model"]["name"] == tiny_model.name
        and run["decoding"]["seed"] == 3
        and run["question"] == "What is it?"
    )
    assert {"torch", "transformers", "device", "revision"} <= set(run["versions"])
    assert [step["token_id"] for step in run["steps"]] == [step.token_id for step in trace.steps]


def test_it_is_repeated_to_the_last_bit(saved, capsys):
    folder, _ = saved
    assert vlm.replay(folder).identical
    assert main(["replay", str(folder / "run.json")]) == 0
    assert capsys.readouterr().out.strip() == "The same numbers, to the last bit."


def test_two_photos_of_one_question_come_back(tiny_model, tmp_path):
    trace = tiny_model.encode([photo(60, 90), photo(80, 60, seed=1)], "Which one?")
    trace = trace.with_steps(tiny_model.decode(trace, SAMPLING))
    assert vlm.replay(vlm.save_run(trace, tmp_path, tiny_model, SAMPLING)).identical


def test_what_differs_is_said(saved, capsys):
    folder, _ = saved
    change(folder, question="Where is it?", versions={"torch": "0.1"})
    assert main(["replay", str(folder)]) == 1
    said = capsys.readouterr().out
    assert (
        said.startswith("It differs.")
        and "VT + TT: another shape" in said
        and "torch: then 0.1, now " in said
    )
    assert "x_p" not in said  # the photo is the same


def test_another_model_differs_and_is_named(saved, checkpoints):
    replayed = vlm.replay(saved[0], model=str(checkpoints("siglip")))
    assert not replayed.holds and "model" in {name for name, _, _ in replayed.changed}


def test_numbers_that_are_a_little_off_still_hold():
    from vlm.reports.saved_run import Difference

    assert (
        Difference("VT", 5e-4, 2.0).close
        and not Difference("VT", 5e-3, 2.0).close
        and not Difference("VT", None, 0.0).close
    )


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda folder: (folder / "run.json").write_text("no json"), "holds no JSON"),
        (
            lambda folder: (folder / "run.json").write_text('{"format": 99}'),
            "no run that this version saves",
        ),
        (lambda folder: (folder / "run.json").unlink(), "cannot be read"),
        (lambda folder: photo(90, 150, seed=2).save(folder / "photo-1.png"), "SHA-256 differs"),
        (lambda folder: (folder / "run.safetensors").unlink(), "have to lie together"),
        (
            lambda folder: change(folder, photos=[{"file": "../../secret.png", "sha256": ""}]),
            "have to lie together",
        ),
        (lambda folder: change(folder, photos=None), "not a whole run"),
        (lambda folder: change(folder, decoding={"seed": 1}), "not a whole run"),
        (lambda folder: change(folder, photos=[]), "not a whole run"),
    ],
)
def test_what_is_no_whole_run_is_one_sentence(saved, capsys, damage, words):
    damage(saved[0])
    assert main(["replay", str(saved[0])]) == 2
    said = capsys.readouterr().err
    assert (
        words in said
        and len(said.strip().splitlines()) == 1
        and ("not a whole run" in said) == (words == "not a whole run")
    )


def test_the_command_line_saves_what_it_answered(checkpoints, wide_photo, tmp_path, capsys):
    wide_photo.save(tmp_path / "photo.png")
    given = [
        "ask",
        str(tmp_path / "photo.png"),
        "What is it?",
        "--model",
        str(checkpoints("clip")),
        "--max-new-tokens",
        "3",
        "--save",
        str(tmp_path / "kept"),
    ]
    assert main(given) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "kept" / "run.json")
    assert vlm.replay(tmp_path / "kept").identical


def test_a_folder_that_cannot_be_written_is_one_sentence(tiny_model, wide_photo, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(vlm.RunError, match="cannot be written"):
        vlm.save_run(
            tiny_model.trace(wide_photo, "What?", SAMPLING), tmp_path / "file", tiny_model, SAMPLING
        )


@pytest.mark.long
def test_it_is_repeated_in_a_process_that_loaded_nothing_before(checkpoints, wide_photo, tmp_path):
    model = vlm.load(checkpoints("clip"))
    vlm.save_run(model.trace(wide_photo, "What is it?", SAMPLING), tmp_path, model, SAMPLING)
    done = subprocess.run(
        [sys.executable, "-m", "vlm", "replay", str(tmp_path / "run.json")],
        cwd=Path(vlm.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "same numbers" in done.stdout.lower(), done.stderr


def test_whoever_needs_transformers_can_be_imported_first():
    """Beside a torch for CPUs, torchvision has to be helped before transformers is imported: see
    `vlm.backends.compat`.
    """
    for path in sorted(Path(vlm.__file__).parent.rglob("*.py")):
        lines = path.read_text().splitlines()
        needs = [
            number
            for number, line in enumerate(lines)
            if line.startswith(
                ("from transformers", "import transformers", "import open_clip", "import timm")
            )
        ]
        assert not needs or "ensure_torchvision()" in lines[: needs[0]], path
