"""The experiments of the page: what it is told is what the library says, and what cannot be done
gets a sentence.
"""

from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

import vlm
from app.run_key import RunKey
from tests.app.asking import QUESTION, run, sentence, server
from tests.tiny import photo
from vlm.inspect.interventions import Cut, Drop, Paste

OF_ANOTHER_MODEL = str(RunKey.of(["0" * 32], "f" * 12, "What?"))
pytestmark = pytest.mark.usefixtures("tiny_page")
ASKED = {
    "tokens": [],
    "how": "mean",
    "factor": 0.5,
    "seed": 0,
    "layer": 1,
    "share": 0.5,
    "way": "picture → answer",
    "first": 1,
    "last": 2,
    "other": None,
    "word": "",
    "step": 0,
}


@pytest.fixture
def answered(uploaded, tiny_model):
    """The key of an answer, and the same answer by the library."""
    return run(uploaded)[-2][2]["key"], tiny_model.trace(
        vlm.open_image(uploaded), QUESTION, vlm.Decoding(max_new_tokens=6)
    )


@pytest.fixture
def other(upload):
    """Another photo among the uploads."""
    return upload(photo(70, 90, seed=5), "other.png")


def tried(key: str, kind: str, **given) -> list[dict]:
    return list(
        server.experiment(SimpleNamespace(_data=ASKED | {"answer": key, "kind": kind} | given))
    )


@pytest.mark.parametrize("own", [None, 1.9])
def test_a_change_of_nothing_gives_the_answer_again_whatever_the_penalty(
    uploaded, tiny_model, own, monkeypatch
):
    monkeypatch.setattr(tiny_model.network.generation_config, "repetition_penalty", own)
    answers = set()
    for penalty in (1.0, 1.6):
        said = run(uploaded, settings=(0.0, 0, 1.0, penalty, 0, 12))[-2][2]
        assert tried(said["key"], "rescale", factor=1)[-1]["again"] == said["answer"]
        answers.add(said["answer"])
    assert len(answers) == 2


def expect_same(said: dict, expected: vlm.token_changes.Rerun) -> None:
    """The last of what the page was told is the library's intervention."""
    assert said["finished"] and said["again"] == expected.trace.answer
    np.testing.assert_allclose(
        [after for _, _, after in said["before"]], np.exp(expected.after), atol=2e-5
    )
    np.testing.assert_allclose(
        [before for _, before, _ in said["before"]], np.exp(expected.before), atol=2e-5
    )


TWELVE = vlm.Decoding(max_new_tokens=12)


def test_the_least_looked_at_are_dropped_as_the_library_drops_them(answered, tiny_model):
    key, trace = answered
    said = tried(key, "fastv", layer=1, share=0.75)
    assert len(said) == len(said[-1]["steps"]) + 1 and not said[0]["finished"]  # word by word
    expect_same(
        said[-1],
        tiny_model.inspect(trace).rerun(Drop(1, 0.75), decoding=TWELVE),
    )
    assert said[-1]["change"] != 0
    assert tried(key, "fastv", share=0)[-1]["change"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    "path", ["picture → question", "picture → answer", "picture → all after it"]
)
def test_attention_is_cut_as_the_library_cuts_it(answered, tiny_model, path):
    key, trace = answered
    said = tried(key, "knockout", way=path, first=1, last=2)[-1]
    expect_same(
        said,
        tiny_model.inspect(trace).rerun(Cut.along(path, range(1, 3)), decoding=TWELVE),
    )


def test_the_sweep_comes_way_by_way_and_is_the_librarys(answered, tiny_model):
    key, trace = answered
    said, expected = (
        [each["sweep"] for each in tried(key, "sweep", step=2)],
        tiny_model.inspect(trace).sweep(2),
    )
    assert [len(each["rows"]) for each in said] == list(range(len(expected.paths) + 1))
    assert [path for path, _ in said[-1]["rows"]] == list(expected.paths) and said[-1]["finished"]
    assert said[-1]["windows"] == [list(window) for window in expected.windows]
    np.testing.assert_allclose([row for _, row in said[-1]["rows"]], expected.change, atol=1e-4)
    assert said[-1]["word"] == trace.steps[2].token_string and said[-1][
        "probability"
    ] == pytest.approx(trace.steps[2].probability, abs=1e-4)


def test_tokens_of_another_run_are_pasted(answered, other, tiny_model):
    key, trace = answered
    run_of_other = run(other)[0][0]["run"]
    theirs = tiny_model.encode(vlm.open_image(other), QUESTION)
    said = tried(key, "paste", tokens=[4, 5], other=run_of_other)[-1]
    expect_same(
        said,
        tiny_model.inspect(trace).rerun(Paste([4, 5], theirs), decoding=TWELVE),
    )


def test_a_chosen_word_is_told_before_and_after(answered, tiny_model):
    key, trace = answered
    told = tried(key, "remove", tokens=[1, 2, 3], word=" cat ")[-1]["word"]
    assert told["word"] == "cat"
    assert told["before"] == pytest.approx(tiny_model.inspect(trace).begins("cat"), abs=1e-6)
    assert told["after"] == pytest.approx(
        tiny_model.inspect(vlm.token_changes.remove(trace, [1, 2, 3])).begins("cat"), abs=1e-6
    )
    assert tried(key, "shuffle")[-1]["word"] is None


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("magic", {}, "no experiment 'magic'"),
        (["remove"], {}, "no experiment"),
        ("remove", {}, "No token is selected"),
        ("keep", {"tokens": "all"}, "No token is selected"),
        ("remove", {"tokens": [99]}, "no visual token 99"),
        ("remove", {"tokens": [1], "how": "magic"}, "'magic'"),
        ("remove", {"tokens": [1], "seed": 0.5}, "The seed is 0.5"),
        ("rescale", {"factor": None}, "The factor is None"),
        ("rescale", {"factor": 11}, "from 0 to 10"),
        ("fastv", {"layer": 0}, "The layer is 0"),
        ("fastv", {"layer": 99}, "from 1 to"),
        ("fastv", {"share": 2}, "The share is 2"),
        ("knockout", {"way": "sky → sea"}, "no path 'sky → sea'"),
        ("knockout", {"way": []}, "no path"),
        ("knockout", {"first": 2, "last": 1}, "are no window"),
        ("knockout", {"last": True}, "The last is True"),
        ("sweep", {"step": 99}, "no word 99"),
        ("sweep", {"step": None}, "no word None"),
        ("paste", {"tokens": [1]}, "no other photo"),
        ("paste", {"tokens": [1], "other": OF_ANOTHER_MODEL}, "another model's"),
        ("paste", {"tokens": [1], "other": "ab.cd-ef"}, "no longer kept"),
        ("shuffle", {"word": "two words"}, "is not one word"),
        ("shuffle", {"word": 7}, "is not one word"),
    ],
)
def test_what_cannot_be_tried_gets_a_sentence(answered, kind, given, words):
    with pytest.raises(gr.Error) as error:
        tried(answered[0], kind, **given)
    assert words in sentence(error)


def test_a_run_that_is_no_longer_kept_gets_a_sentence(answered):
    key, _ = answered
    with pytest.raises(gr.Error, match="no longer kept"):
        tried(key, "paste", tokens=[1], other="gone." + key.partition(".")[2])
    with pytest.raises(gr.Error, match="press Run first"):
        tried("nothing", "shuffle")
